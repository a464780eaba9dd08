use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

/// Beside the store: the server's process and its owner's, each on its line.
pub(super) const PID_FILE: &str = "server.pid";

/// Notes who runs here, and for whom.
pub(super) fn remember(dir: &Path, pid: u32) -> io::Result<()> {
    fs::write(dir.join(PID_FILE), format!("{pid}\n{}\n", process::id()))
}

/// Kills the servers that killed runs left behind in a folder or in the folders directly in it.
///
/// A process is killed only if it is a `nats-server` with its store there, and the process that
/// started it is no longer its parent: servers of a run that goes on are left alone, and so are
/// other users'. Returns the folders of those it killed; the folders themselves stay. Does nothing
/// on systems without signals.
///
/// # Errors
///
/// The folder cannot be read, or a process cannot be killed.
pub fn reap_orphans(dir: &Path) -> io::Result<Vec<PathBuf>> {
    if cfg!(not(unix)) || !dir.exists() {
        return Ok(Vec::new());
    }
    let nested = fs::read_dir(dir)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path());
    let mut reaped = Vec::new();
    for dir in nested.chain([dir.to_owned()]) {
        let found = fs::canonicalize(dir).and_then(|dir| Ok(reap(&dir)?.then_some(dir)));
        match found {
            Ok(dir) => reaped.extend(dir),
            // Its run removed it just now, or it is another user's.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(reaped)
}

fn reap(dir: &Path) -> io::Result<bool> {
    let file = dir.join(PID_FILE);
    let noted = fs::read_to_string(&file).unwrap_or_default();
    let mut lines = noted.lines().map(str::parse::<u32>);
    let (Some(Ok(pid)), Some(Ok(owner))) = (lines.next(), lines.next()) else {
        return Ok(false);
    };
    let is_ours = |found: &Process| {
        let store = dir.join("store");
        found.arguments.contains("nats-server")
            && found.arguments.contains(&*store.to_string_lossy())
    };
    match look_up(pid)?.filter(is_ours) {
        Some(found) if found.parent == owner => Ok(false),
        Some(_) => {
            kill(pid)?;
            fs::remove_file(file)?;
            Ok(true)
        }
        None => {
            // Whoever had that number is gone.
            fs::remove_file(file)?;
            Ok(false)
        }
    }
}

/// What the system tells about a process.
#[derive(Debug)]
struct Process {
    parent: u32,
    arguments: String,
}

#[cfg(target_os = "linux")]
fn look_up(pid: u32) -> io::Result<Option<Process>> {
    let read = |name| match fs::read(format!("/proc/{pid}/{name}")) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).replace('\0', " "))),
        // It ended before or while we read.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(3) => Ok(None),
        Err(error) => Err(error),
    };
    let (Some(arguments), Some(stat)) = (read("cmdline")?, read("stat")?) else {
        return Ok(None);
    };
    // `pid (name) state ppid`, and the name may hold anything.
    let parent = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
    Ok(parent.map(|parent| Process { parent, arguments }))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn look_up(pid: u32) -> io::Result<Option<Process>> {
    use std::{process::Command, time::Duration};

    let mut ps = Command::new("ps");
    ps.args(["-ww", "-o", "ppid=", "-o", "args=", "-p", &pid.to_string()]);
    let found = crate::command::run(&mut ps, Duration::from_secs(10))?.stdout;
    Ok(found
        .trim()
        .split_once(' ')
        .and_then(|(parent, arguments)| {
            Some(Process {
                parent: parent.parse().ok()?,
                arguments: arguments.to_owned(),
            })
        }))
}

#[cfg(not(unix))]
fn look_up(_: u32) -> io::Result<Option<Process>> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn kill(pid: u32) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process};

    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    match pid.map(|pid| kill_process(pid, Signal::KILL)) {
        None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
        Some(Err(errno)) => Err(errno.into()),
    }
}

#[cfg(not(unix))]
fn kill(_: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
