//! A `nats-server` as a child of this process.

mod error;
mod orphans;
mod ready;

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

pub use self::{
    error::{NotReady, SignalError, StartError},
    orphans::reap_orphans,
};
use crate::{command, signal, signal::Signal, watchdog::Watchdog};

/// What every server of ours is told, whoever starts it: the file `nats.conf` of the repository.
///
/// A [`NatsProcess`] has it already; it is here for containers.
pub const NATS_CONF: &str = include_str!("../../nats.conf");

/// How long a start may take.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long a server may take to send its clients away.
const RETIRES_WITHIN: Duration = Duration::from_mins(1);

/// How a server is to be run. Made by [`NatsProcess::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `start`"]
pub struct NatsProcessBuilder {
    program: PathBuf,
    dir: PathBuf,
    port: Option<u16>,
    config: String,
}

impl NatsProcessBuilder {
    /// Listens on this port. Default: one that is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Adds text to the server's configuration file, after [`NATS_CONF`]: users, `max_payload`, a cluster.
    ///
    /// What is said twice holds as it is said last. A cluster needs a `server_name` here. Ports and store are ours: command-line options win over
    /// the file.
    pub fn config(mut self, text: impl AsRef<str>) -> Self {
        self.config.push_str(text.as_ref());
        self.config.push('\n');
        self
    }

    /// Starts the server and returns when it answers.
    ///
    /// # Errors
    ///
    /// The folder cannot be written, the program cannot be started, or it did not become ready. The
    /// error carries the end of the server's log.
    pub fn start(self) -> Result<NatsProcess, StartError> {
        let io = |source| StartError::Folder {
            path: self.dir.clone(),
            source,
        };
        fs::create_dir_all(&self.dir).map_err(io)?;
        // Absolute, so that a later run recognises its orphans by it.
        let dir = fs::canonicalize(&self.dir).map_err(io)?;
        let mut process = NatsProcess {
            options: Self { dir, ..self },
            port: 0,
            running: None,
        };
        process.start()?;
        Ok(process)
    }
}

/// A `nats-server` with streams, on 127.0.0.1, that does not outlive this process.
///
/// Dropping it kills it. If this process is killed, a [`Watchdog`] kills the server; if that fails
/// too, [`reap_orphans`] finds it in the next run by the file it left.
///
/// Everything lies in one folder: `store/` (the streams), `nats.conf`, `server.log`, `server.pid`.
#[derive(Debug)]
pub struct NatsProcess {
    options: NatsProcessBuilder,
    port: u16,
    running: Option<Running>,
}

/// A child that nobody has waited for yet, so that its number is its own.
#[derive(Debug)]
struct Running {
    // Dismissed first: after the child is waited for, its number may belong to another process.
    watchdog: Option<Watchdog>,
    child: Child,
}

impl NatsProcess {
    /// Describes a server: the program, and the folder of its own that it may fill.
    pub fn builder(program: impl Into<PathBuf>, dir: impl Into<PathBuf>) -> NatsProcessBuilder {
        NatsProcessBuilder {
            program: program.into(),
            dir: dir.into(),
            port: None,
            config: NATS_CONF.to_owned(),
        }
    }

    /// Where clients connect. Stays the same over [`restart`](Self::restart).
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port of [`url`](Self::url).
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that holds store, configuration and log.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// The server's process. `None` while it is stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// How the server ended by itself, told once. `None` while it runs, or after we stopped it.
    ///
    /// # Errors
    ///
    /// The operating system refused to tell.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(running) = &mut self.running else {
            return Ok(None);
        };
        let status = running.child.try_wait()?;
        if status.is_some() {
            self.running = None;
        }
        Ok(status)
    }

    /// Stops the server in order: it flushes, closes its clients and ends. Killed after ten seconds,
    /// and at once where there are no signals. Nothing to do if it is stopped already.
    ///
    /// # Errors
    ///
    /// The operating system refused.
    pub fn stop(&mut self) -> Result<(), SignalError> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        running.watchdog = None;
        // A suspended process does not hear a request to end. Where there are no signals, none is.
        match signal::send(&running.child, Signal::Continue) {
            Ok(()) | Err(SignalError::Unsupported) => {}
            Err(error) => return Err(error),
        }
        command::stop(&mut running.child, Instant::now() + Duration::from_secs(10))?;
        self.kill()
    }

    /// Kills the server: `kill -9`. Unlike a power cut, it leaves the operating system what was written.
    ///
    /// # Errors
    ///
    /// The operating system refused.
    pub fn kill(&mut self) -> Result<(), SignalError> {
        if let Some(mut running) = self.running.take() {
            running.watchdog = None;
            running.child.kill()?;
            running.child.wait()?;
            // Left behind, it would be found by `reap_orphans`, which then sees that nobody is there.
            let _ = fs::remove_file(self.options.dir.join(orphans::PID_FILE));
        }
        Ok(())
    }

    /// Lets the server retire (lame duck): it takes no more clients, sends away those it has one by one, and ends. How
    /// soon is in its configuration. Killed after a minute. Nothing to do if it is stopped already.
    ///
    /// # Errors
    ///
    /// The operating system refused, or has no signals.
    pub fn retire(&mut self) -> Result<(), SignalError> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        // From here on it ends by itself, whoever lives.
        running.watchdog = None;
        signal::send(&running.child, Signal::LameDuck)?;
        command::wait_until(&mut running.child, Instant::now() + RETIRES_WITHIN)?;
        self.kill()
    }

    /// Suspends the server: connections stay open, and nothing answers.
    ///
    /// # Errors
    ///
    /// It does not run, or this system has no signals.
    pub fn pause(&self) -> Result<(), SignalError> {
        self.signal(Signal::Stop)
    }

    /// Lets a suspended server go on.
    ///
    /// # Errors
    ///
    /// It does not run, or this system has no signals.
    pub fn resume(&self) -> Result<(), SignalError> {
        self.signal(Signal::Continue)
    }

    /// Starts the server again on the same port and store, after a stop in order if it still runs.
    ///
    /// # Errors
    ///
    /// It could not be stopped, or did not become ready.
    pub fn restart(&mut self) -> Result<(), StartError> {
        self.stop()?;
        self.start()
    }

    fn start(&mut self) -> Result<(), StartError> {
        let started = self.try_start();
        if started.is_err() {
            // What is not ready is not left running; the error to tell is the first one.
            let _ = self.kill();
        }
        started
    }

    fn try_start(&mut self) -> Result<(), StartError> {
        let dir = self.options.dir.clone();
        let io = |source| StartError::Folder {
            path: dir.clone(),
            source,
        };
        let config = dir.join("nats.conf");
        fs::write(&config, &self.options.config).map_err(io)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .map_err(io)?;

        let mut server = Command::new(&self.options.program);
        server
            .arg("--config")
            .arg(&config)
            .args(["--jetstream", "--store_dir"])
            .arg(dir.join("store"))
            .args(["--addr", "127.0.0.1", "--port"])
            .arg(port_argument(self.options.port))
            .arg("--ports_file_dir")
            .arg(&dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(io)?)
            .stderr(log);
        command::own_group(&mut server);
        let child = command::spawn(&mut server).map_err(|source| StartError::Spawn {
            program: self.options.program.clone(),
            source,
        })?;

        let pid = child.id();
        let running = self.running.insert(Running {
            // Without a shell the file for `reap_orphans` has to do.
            watchdog: Watchdog::arm(&format!("kill -9 {pid}")).ok(),
            child,
        });
        orphans::remember(&dir, pid).map_err(io)?;

        let deadline = Instant::now() + READY_WITHIN;
        let port = ready::wait(&mut running.child, &dir, deadline);
        self.port = port.map_err(|why| StartError::NotReady {
            why,
            log: ready::tail(&self.log_file()),
        })?;
        // The same one for ever: clients come back to it.
        self.options.port = Some(self.port);
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.options.dir.join("server.log")
    }

    /// Sends the server a signal, and does not wait for what it does about it.
    ///
    /// # Errors
    ///
    /// It does not run, or this system has no signals.
    pub fn signal(&self, signal: Signal) -> Result<(), SignalError> {
        let running = self.running.as_ref().ok_or(SignalError::NotRunning)?;
        signal::send(&running.child, signal)
    }
}

impl Drop for NatsProcess {
    fn drop(&mut self) {
        // Nobody is left to be told, and the folder is the caller's.
        let _ = self.kill();
    }
}

/// A port of 127.0.0.1 that was free a moment ago, for configurations that must name one.
///
/// # Errors
///
/// No port is free.
pub fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn port_argument(port: Option<u16>) -> OsString {
    port.map_or_else(|| "-1".into(), |port| port.to_string().into())
}

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "helpers of tests are tests")]
mod tests;
