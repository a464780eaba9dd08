//! Child processes that answer in time or are stopped.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a child that ended in time left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All it wrote to its standard output, as text.
    pub stdout: String,
    /// All it wrote to its standard error, as text.
    pub stderr: String,
}

impl Finished {
    /// The last line of its standard error that says something, else of its standard output.
    ///
    /// Command-line tools put the reason there. Empty if the child was silent.
    #[must_use]
    pub fn last_words(&self) -> &str {
        [&self.stderr, &self.stdout]
            .into_iter()
            .find_map(|text| text.lines().map(str::trim).rfind(|line| !line.is_empty()))
            .unwrap_or_default()
    }
}

/// Runs a command without standard input, captures its output, and kills it at the deadline.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] if there is no such program, [`io::ErrorKind::TimedOut`] if it was
/// killed at the deadline.
pub fn run(command: &mut Command, deadline: Duration) -> io::Result<Finished> {
    // Files, not pipes: nobody has to drain them while we wait.
    let mut stdout = tempfile::tempfile()?;
    let mut stderr = tempfile::tempfile()?;
    command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?);
    let mut child = spawn(command)?;

    let Some(status) = wait_until(&mut child, Instant::now() + deadline)? else {
        child.kill()?;
        child.wait()?;
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no end within {deadline:?}"),
        ));
    };
    Ok(Finished {
        status,
        stdout: read_back(&mut stdout)?,
        stderr: read_back(&mut stderr)?,
    })
}

/// Waits for a child until the deadline. `None` means that it still runs.
///
/// # Errors
///
/// The operating system refused to tell about the child.
pub fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    // The standard library cannot wait with a limit; short pauses that grow cost next to nothing.
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Keeps a child out of the terminal's reach: Ctrl-C is for us, and we decide who stops when.
///
/// Does nothing where there are no process groups.
pub fn own_group(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Asks a child to end in order, kills it at the deadline, and waits for it.
///
/// Killed at once where there are no signals.
///
/// # Errors
///
/// The operating system refused.
pub fn stop(child: &mut Child, deadline: Instant) -> io::Result<()> {
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process};

        kill_process(Pid::from_child(child), Signal::TERM)?;
        if wait_until(child, deadline)?.is_some() {
            return Ok(());
        }
    }
    #[cfg(not(unix))]
    let _ = deadline;
    child.kill()?;
    child.wait().map(drop)
}

/// Spawns, with patience for a program that was written a moment ago.
///
/// A thread that forks at the moment another one writes the program holds the file open for a few
/// microseconds more, and until then the system says "text file busy".
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    for _ in 0..20 {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
    command.spawn()
}

fn read_back(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_last_words_are_captured() {
        let finished = run(
            &mut sh("echo out; echo first >&2; echo the reason >&2; echo >&2; exit 3"),
            Duration::from_secs(10),
        )
        .unwrap();

        assert_eq!(finished.status.code(), Some(3));
        assert_eq!(finished.stdout, "out\n");
        assert_eq!(finished.last_words(), "the reason");
    }

    #[test]
    fn last_words_fall_back_to_the_output() {
        let finished = run(&mut sh("echo out"), Duration::from_secs(10)).unwrap();

        assert_eq!(finished.last_words(), "out");
    }

    #[test]
    fn child_is_killed_at_the_deadline() {
        let begun = Instant::now();

        let error = run(&mut sh("exec sleep 30"), Duration::from_millis(50)).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
