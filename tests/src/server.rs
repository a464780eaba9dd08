use std::env;
use std::time::{Duration, Instant};

mod container;
mod process;

use container::Container;
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

impl Server {
    /// Starts one with this text in its configuration file, and returns when it answers.
    ///
    /// # Panics
    ///
    /// If there is no server or no engine for containers, or it does not start.
    pub async fn start(config: &str) -> Self {
        let config = config.to_owned();
        let machine = match env::var("TEST_NATS").as_deref() {
            Ok("container") => Machine::Container(Container::start(config).await),
            Ok("process") | Err(_) => Machine::Process(Process::start(config).await),
            Ok(other) => panic!("TEST_NATS is `{other}`, and may be `container` or `process`"),
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

    /// Lets it send its clients elsewhere and end, as before maintenance (lame duck). There is nowhere else.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub async fn lame_duck(&self) {
        match &self.machine {
            Machine::Process(process) => process.act(|nats| nats.lame_duck().unwrap()).await,
            Machine::Container(container) => container.lame_duck().await,
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

/// How long a server may take to stop in order.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How long a server may take to answer after its start.
const READY_WITHIN: Duration = Duration::from_secs(30);

fn deadline(patience: Duration) -> Instant {
    Instant::now() + patience
}
