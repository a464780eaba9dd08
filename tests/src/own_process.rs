use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use xtask::signal::{self, Signal};
use xtask::{Watchdog, command};

/// How long a program may take to stop in order: as long as its own deadlines allow, and less than a hang.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A program in a process of its own, which does not outlive the test.
#[derive(Debug)]
pub(crate) struct OwnProcess {
    pub(crate) child: Child,
    // Dismissed with the child: its number may belong to another process afterwards.
    watchdog: Option<Watchdog>,
}

impl OwnProcess {
    /// Starts it, out of the reach of Ctrl-C. Its standard output is for the caller to read.
    pub(crate) fn start(program: &mut Command) -> Self {
        program.stdout(Stdio::piped());
        command::own_group(program);
        let child = program.spawn().unwrap();
        let watchdog = Watchdog::arm(&format!("kill -9 {}", child.id())).ok();
        Self { child, watchdog }
    }

    /// `kill -9`: nothing is finished, and nobody is told.
    pub(crate) fn kill(&mut self) {
        self.watchdog = None;
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal. After a stop it stands still.
    pub(crate) fn send(&self, signal: Signal) {
        signal::send(&self.child, signal).unwrap();
    }

    /// Waits for its end. It is killed after 30 seconds.
    pub(crate) async fn end(mut self) -> ExitStatus {
        let ended = spawn_blocking(move || {
            let ended = command::wait_until(&mut self.child, Instant::now() + STOP_WITHIN);
            self.watchdog = None;
            ended.unwrap().unwrap_or_else(|| {
                self.child.kill().unwrap();
                self.child.wait().unwrap()
            })
        });
        ended.await.unwrap()
    }
}

impl Drop for OwnProcess {
    fn drop(&mut self) {
        // Whoever was waited for is not there any more, and that is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
