use std::{
    io,
    process::{Child, Command, Stdio},
};

use crate::command;

/// Runs a line of shell if this process ends without dismissing it, even by `kill -9`.
///
/// A shell waits for the end of a pipe that only this process holds open. Linux could tie a child
/// to its parent by itself, but only through `unsafe`, and other systems cannot at all. Where there
/// is no `sh` there is no watchdog.
#[derive(Debug)]
pub struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Arms it. The line is run by `sh`, without input or output, in a process group of its own, so
    /// that Ctrl-C does not reach it.
    ///
    /// # Errors
    ///
    /// There is no `sh`, or it cannot be started.
    pub fn arm(line: &str) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("read -r _; {line}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command::own_group(&mut shell);
        Ok(Self {
            shell: command::spawn(&mut shell)?,
        })
    }
}

impl Drop for Watchdog {
    /// Dismisses it: the line is not run.
    fn drop(&mut self) {
        // Killed while its pipe is still open, so that it never sees the end. Neither call can fail
        // in a way that leaves something to do.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{
        fs, thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn dismissed_watchdog_does_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("mark");

        let mut watchdog = Watchdog::arm(&format!("echo > {}", mark.display())).unwrap();
        watchdog.shell.kill().unwrap();
        watchdog.shell.wait().unwrap();
        drop(watchdog);

        assert!(!mark.exists());
    }

    #[test]
    fn line_runs_when_the_pipe_breaks() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("mark");

        let mut watchdog = Watchdog::arm(&format!("echo > {}", mark.display())).unwrap();
        drop(watchdog.shell.stdin.take());

        let deadline = Instant::now() + Duration::from_secs(10);
        while !mark.exists() {
            assert!(Instant::now() < deadline, "the line did not run");
            thread::sleep(Duration::from_millis(5));
        }
        assert!(fs::exists(&mark).unwrap());
    }
}
