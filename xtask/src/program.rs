use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    SignalError, command,
    signal::{self, Signal},
    watchdog::Watchdog,
};

/// A program that says on standard output when it is up, as a child of this process that does not outlive it.
///
/// Dropping it kills it. If this process is killed, a [`Watchdog`] kills the program.
#[derive(Debug)]
pub struct Program {
    said: String,
    child: Child,
    // Dismissed before the child is waited for: after that, its number may belong to another process.
    watchdog: Option<Watchdog>,
}

impl Program {
    /// Starts the program, in a process group of its own and without input, and returns when it has said a line.
    ///
    /// What it says on standard error is added to the file `log`.
    ///
    /// # Errors
    ///
    /// It cannot be started, ended before it said anything, or said nothing in time. Nothing is left running.
    pub fn launch(
        command: &mut Command,
        log: &Path,
        within: Duration,
    ) -> Result<Self, LaunchError> {
        let io = |source| LaunchError::Spawn {
            program: command.get_program().into(),
            source,
        };
        let stderr = File::options().create(true).append(true).open(log);
        let stderr = stderr.map_err(io)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr);
        command::own_group(command);
        let mut child = command::spawn(command).map_err(|source| LaunchError::Spawn {
            program: command.get_program().into(),
            source,
        })?;
        let watchdog = Watchdog::arm(&format!("kill -9 {}", child.id())).ok();
        let stdout = child.stdout.take();
        let mut program = Self {
            said: String::new(),
            child,
            watchdog,
        };
        match stdout.and_then(|stdout| first_line(stdout, within)) {
            Some(line) => program.said = line,
            None => {
                return Err(LaunchError::Silent {
                    ended: program.try_wait().ok().flatten(),
                    log: tail(log),
                });
            }
        }
        Ok(program)
    }

    /// The line that it said when it was up.
    #[must_use]
    pub fn said(&self) -> &str {
        &self.said
    }

    /// How it ended by itself. `None` while it runs.
    ///
    /// # Errors
    ///
    /// The operating system refused to tell.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Kills it: `kill -9`. Nothing is finished, and nobody is told.
    ///
    /// # Errors
    ///
    /// The operating system refused.
    pub fn kill(&mut self) -> io::Result<()> {
        self.watchdog = None;
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Suspends it: its connections and locks stay, and it does nothing.
    ///
    /// # Errors
    ///
    /// It has ended, or this system has no signals.
    pub fn pause(&self) -> Result<(), SignalError> {
        signal::send(&self.child, Signal::Stop)
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// It has ended, or this system has no signals.
    pub fn resume(&self) -> Result<(), SignalError> {
        signal::send(&self.child, Signal::Continue)
    }

    /// Tells it to end in order (SIGTERM), kills it if it has not within this time, and says how it ended.
    ///
    /// # Errors
    ///
    /// The operating system refused.
    pub fn stop(&mut self, within: Duration) -> io::Result<ExitStatus> {
        self.watchdog = None;
        command::stop(&mut self.child, Instant::now() + within)?;
        self.child.wait()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.watchdog = None;
        // Whoever was waited for is not there any more, and that is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program says first. `None` if it ends, or says nothing in time.
fn first_line(stdout: ChildStdout, within: Duration) -> Option<String> {
    let (say, hear) = mpsc::channel();
    // Reading has no limit in time. The thread ends with the program at the latest.
    thread::spawn(move || {
        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        let read = lines.read_line(&mut line);
        // Whoever has given up waiting does not want to know.
        let _ = say.send(read.is_ok_and(|read| read > 0).then_some(line));
        // What it says later must go somewhere, or it would stop at a full pipe.
        let _ = io::copy(&mut lines, &mut io::sink());
    });
    let line = hear.recv_timeout(within).ok()??;
    Some(line.trim_end().to_owned())
}

/// The last line of a log.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().next_back().unwrap_or_default().to_owned()
}

/// Why a program does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// It cannot be started.
    #[error("`{program}` cannot be started")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It did not say that it is up, and does not run any more.
    #[error("it did not come up ({}): {log}", fate(*.ended))]
    Silent {
        /// How it ended by itself. `None`: it ran on, and was killed.
        ended: Option<ExitStatus>,
        /// The last line of its log.
        log: String,
    },
}

fn fate(ended: Option<ExitStatus>) -> String {
    ended.map_or("silent until it was killed".to_owned(), |ended| {
        format!("it ended with {ended}")
    })
}

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "helpers of tests are tests")]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn launch(script: &str, within: Duration) -> Result<Program, LaunchError> {
        let dir = tempfile::tempdir().unwrap();
        let mut sh = Command::new("sh");
        Program::launch(sh.args(["-c", script]), &dir.path().join("log"), within)
    }

    #[test]
    fn program_is_up_when_it_has_said_so() {
        let mut program = launch("echo listening; exec sleep 30", SOON).unwrap();
        assert_eq!(program.said(), "listening");
        assert!(program.try_wait().unwrap().is_none());

        program.pause().unwrap();
        program.resume().unwrap();
        program.kill().unwrap();
        assert!(program.try_wait().unwrap().is_some());
    }

    #[test]
    fn program_that_is_told_to_end_says_how_it_ended() {
        let script = "trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done";
        let mut program = launch(script, SOON).unwrap();
        assert_eq!(program.stop(SOON).unwrap().code(), Some(3));
    }

    #[test]
    fn program_that_ends_early_leaves_its_last_words() {
        let error = launch("echo first >&2; echo the reason >&2", SOON).unwrap_err();
        assert!(error.to_string().ends_with("the reason"), "{error}");
    }

    #[test]
    fn program_that_says_nothing_is_not_waited_for() {
        let error = launch("exec sleep 30", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, LaunchError::Silent { ended: None, .. }));
        assert!(error.to_string().contains("silent until"), "{error}");
    }
}
