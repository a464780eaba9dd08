use std::{io, path::PathBuf, process::ExitStatus};

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its folder cannot be written.
    #[error("the folder `{path}` cannot be used")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The program cannot be started.
    #[error("`{program}` cannot be started")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It started and does not answer. It was killed.
    #[error("nats-server is not ready: {why}; the end of its log:\n{log}")]
    NotReady {
        /// What it did instead.
        why: NotReady,
        /// The last lines it logged.
        log: String,
    },
    /// The one that ran before could not be stopped.
    #[error("the running server could not be stopped")]
    Stop(#[from] SignalError),
}

/// What a server did instead of becoming ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// It ended: the configuration is wrong, or a port is taken.
    #[error("it ended with {0}")]
    Ended(ExitStatus),
    /// It runs, and has not said where it listens.
    #[error("it did not answer in time")]
    Silent,
    /// It listens, but does not speak as a server does.
    #[error("port {port} did not answer as a server does")]
    NotNats {
        /// Where it was asked.
        port: u16,
    },
    /// The operating system refused to tell about it.
    #[error("its state is unknown: {0}")]
    Unknown(io::Error),
}

/// Why a child did not get a signal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// It is stopped.
    #[error("it does not run")]
    NotRunning,
    /// This operating system has none.
    #[error("this system has no such signal")]
    Unsupported,
    /// The operating system refused.
    #[error("it cannot be signalled")]
    Io(#[from] io::Error),
}
