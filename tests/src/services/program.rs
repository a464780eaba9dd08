use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::QueueGroup;
use tokio::task::spawn_blocking;
use xtask::{Watchdog, command};

/// How long a program may take to stop in order: as long as its own deadlines allow, and less than a hang.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A service as a process of its own, which does not outlive the test.
#[derive(Debug)]
pub struct Program {
    addr: SocketAddr,
    child: Child,
    // Dismissed with the child: its number may belong to another process afterwards.
    watchdog: Option<Watchdog>,
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
            .stdout(Stdio::piped())
            .stderr(stderr);
        command::own_group(&mut program);
        let mut child = program.spawn().unwrap();
        let watchdog = Watchdog::arm(&format!("kill -9 {}", child.id())).ok();

        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        let addr = said
            .trim()
            .rsplit_once("http://")
            .and_then(|(_, addr)| addr.parse().ok());
        let Some(addr) = addr else {
            let log = fs::read_to_string(&log).unwrap_or_default();
            panic!("{service} said `{said}` instead of where it listens: {log}");
        };
        Self {
            addr,
            child,
            watchdog,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `kill -9`: nothing is finished, and nobody is told.
    ///
    /// # Panics
    ///
    /// If the operating system refuses.
    pub fn kill(&mut self) {
        self.watchdog = None;
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to stop in order (SIGTERM), and waits for its end. It is killed after 30 seconds.
    ///
    /// # Panics
    ///
    /// If the operating system refuses.
    pub async fn terminate(mut self) -> ExitStatus {
        self.watchdog = None;
        let ended = spawn_blocking(move || {
            command::stop(&mut self.child, Instant::now() + STOP_WITHIN).unwrap();
            self.child.wait().unwrap()
        });
        ended.await.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Whoever was waited for is not there any more, and that is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
