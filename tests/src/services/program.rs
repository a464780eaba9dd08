use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use common::QueueGroup;
use tokio::task::spawn_blocking;
use xtask::signal::Signal;

use crate::own_process::OwnProcess;

/// A service as a process of its own, which does not outlive the test.
#[derive(Debug)]
pub struct Program {
    addr: SocketAddr,
    log: PathBuf,
    process: OwnProcess,
}

impl Program {
    /// Starts the program with these variables and no others, and returns when it says where it listens.
    pub(super) async fn start(
        path: &str,
        service: QueueGroup,
        folder: &Path,
        variables: Vec<(&'static str, String)>,
    ) -> Self {
        let (path, folder) = (path.to_owned(), folder.to_owned());
        let started = spawn_blocking(move || Self::launch(&path, service, &folder, variables));
        started.await.unwrap()
    }

    fn launch(
        path: &str,
        service: QueueGroup,
        folder: &Path,
        variables: Vec<(&'static str, String)>,
    ) -> Self {
        let log = folder.join(format!("{service}.log"));
        let stderr = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut program = Command::new(path);
        program
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stderr(stderr);
        let mut process = OwnProcess::start(&mut program);

        let mut said = String::new();
        let mut stdout = BufReader::new(process.child.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        let addr = said
            .trim()
            .rsplit_once("http://")
            .and_then(|(_, addr)| addr.parse().ok());
        let Some(addr) = addr else {
            let log = fs::read_to_string(&log).unwrap_or_default();
            panic!("{service} said `{said}` instead of where it listens: {log}");
        };
        Self { addr, log, process }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// All that replicas of its service have logged so far.
    ///
    /// # Panics
    ///
    /// If that cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// `kill -9`: nothing is finished, and nobody is told.
    ///
    /// # Panics
    ///
    /// If the operating system refuses.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Tells it to stop in order (SIGTERM), without waiting. A second time: to end at once.
    ///
    /// # Panics
    ///
    /// If the operating system refuses.
    pub fn tell_to_stop(&self) {
        self.process.send(Signal::Terminate);
    }

    /// Waits for its end. It is killed after 30 seconds.
    ///
    /// # Panics
    ///
    /// If the operating system refuses.
    pub async fn end(self) -> ExitStatus {
        self.process.end().await
    }

    /// Tells it to stop in order, and waits for its end. It is killed after 30 seconds.
    ///
    /// # Panics
    ///
    /// If the operating system refuses.
    pub async fn terminate(self) -> ExitStatus {
        self.tell_to_stop();
        self.end().await
    }
}
