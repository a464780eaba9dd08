use std::env;
use std::time::{Duration, Instant};

mod container;
mod network;
mod process;

use container::Container;
pub(crate) use network::Network;
use process::Process;

/// A real NATS server that stores streams: in a container or as a process, as `TEST_NATS` says.
///
/// `cargo xtask test` sets it. Without it a server is looked for on this machine and run as a process; where none
/// can be had, the test fails and says so. Gone with its value, or with this process.
#[derive(Debug)]
pub struct Server {
    machine: Machine,
    url: String,
}

#[derive(Debug)]
enum Machine {
    Process(Process),
    Container(Container),
}

/// Where servers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Process,
    Container,
}

impl Mode {
    /// As `TEST_NATS` says.
    pub(crate) fn current() -> Self {
        match env::var("TEST_NATS").as_deref() {
            Ok("container") => Self::Container,
            Ok("process") | Err(_) => Self::Process,
            Ok(other) => panic!("TEST_NATS is `{other}`, and may be `container` or `process`"),
        }
    }
}

impl Server {
    /// Starts one with this text in its configuration file, and returns when it answers.
    ///
    /// # Panics
    ///
    /// If there is no server or no engine for containers, or it does not start.
    pub async fn start(config: &str) -> Self {
        Self::start_with(config, &[]).await
    }

    /// As [`start`](Self::start), with files beside it. The configuration names each as `FILES/<name>`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(config: &str, files: &[File]) -> Self {
        let (config, files) = (config.to_owned(), files.to_vec());
        let machine = match Mode::current() {
            Mode::Container => Machine::Container(Container::start(config, files).await),
            Mode::Process => Machine::Process(Process::start(config, files).await),
        };
        let url = match &machine {
            Machine::Process(process) => process.url().await,
            Machine::Container(container) => container.url(),
        };
        Self { machine, url }
    }

    /// Where it is, also after it was away.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it in order: it writes everything down and says goodbye to its clients.
    ///
    /// # Panics
    ///
    /// If it does not stop.
    pub async fn stop(&self) {
        match &self.machine {
            Machine::Process(process) => process.act(|nats| nats.stop().unwrap()).await,
            Machine::Container(container) => container.stop().await,
        }
    }

    /// Stops it as an operator does under load (lame duck): it sends its clients away one by one, and ends.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub async fn retire(&self) {
        match &self.machine {
            Machine::Process(process) => process.act(|nats| nats.retire().unwrap()).await,
            Machine::Container(container) => container.retire().await,
        }
    }

    /// `kill -9`.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn kill(&self) {
        match &self.machine {
            Machine::Process(process) => process.act(|nats| nats.kill().unwrap()).await,
            Machine::Container(container) => container.kill().await,
        }
    }

    /// Starts it again at the same address with what it has stored, after a stop in order if it runs.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn restart(&self) {
        match &self.machine {
            Machine::Process(process) => process.act(|nats| nats.restart().unwrap()).await,
            Machine::Container(container) => container.restart().await,
        }
    }

    /// Lets it stand still: connections stay open, and nothing answers.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn pause(&self) {
        match &self.machine {
            Machine::Process(process) => process.act(|nats| nats.pause().unwrap()).await,
            Machine::Container(container) => container.pause().await,
        }
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn resume(&self) {
        match &self.machine {
            Machine::Process(process) => process.act(|nats| nats.resume().unwrap()).await,
            Machine::Container(container) => container.resume().await,
        }
    }
}

impl Server {
    /// The id of its container. `None`: it is a process.
    pub(crate) fn container(&self) -> Option<&str> {
        match &self.machine {
            Machine::Process(_) => None,
            Machine::Container(container) => Some(container.id()),
        }
    }
}

/// A file that a server is given: its name and its content.
type File = (&'static str, String);

/// The configuration, where the files that it names are in this folder.
fn naming_files(config: &str, folder: &str) -> String {
    config.replace("FILES/", &format!("{folder}/"))
}

/// How long a server may take to stop in order.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How long a server may take to send its clients away.
const RETIRE_WITHIN: Duration = Duration::from_mins(1);
/// How long a server may take to answer after its start.
const READY_WITHIN: Duration = Duration::from_secs(30);

fn deadline(patience: Duration) -> Instant {
    Instant::now() + patience
}
