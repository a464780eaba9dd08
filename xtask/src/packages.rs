//! Packages of other languages, pinned by lock files, installed once into our cache.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use crate::{command, nats_server::cache_dir, scratch_dir};

/// The oldest Node that the pinned packages run on.
const OLDEST_NODE: u32 = 18;
/// How long an installation may take.
const INSTALL_WITHIN: Duration = Duration::from_mins(5);
/// How long a program may take to say its version.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why there are no packages.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// The program is not on `PATH`, or does not run.
    #[error("there is no `{program}`: {needed}")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// What is needed, and how to get it.
        needed: &'static str,
        /// Why it does not run.
        #[source]
        source: io::Error,
    },
    /// Node is too old for the packages.
    #[error("`node` is {found:?}, and {OLDEST_NODE} is the oldest that will do")]
    OldNode {
        /// What it said of its version.
        found: String,
    },
    /// The installer refused.
    #[error("`{program}` said: {said}")]
    Refused {
        /// The installer.
        program: &'static str,
        /// Its last words.
        said: String,
    },
    /// There is no place for them.
    #[error("there is no cache; set SGT_CACHE")]
    NoCache,
    /// A file of ours cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Node and the packages of a lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The folder that has `node_modules`. A program that runs in it finds the packages.
    pub folder: PathBuf,
}

impl Node {
    /// Installs what `package-lock.json` in `folder` pins, if it is not installed. No package's script runs.
    ///
    /// # Errors
    ///
    /// [`PackagesError`] if Node or npm is missing or too old, or the packages cannot be had.
    pub fn with_packages(folder: &Path) -> Result<Self, PackagesError> {
        let needed = "install Node.js, 18 or newer, with npm";
        let version = said("node", needed, Command::new("node").arg("--version"))?;
        if major(&version).is_none_or(|major| major < OLDEST_NODE) {
            return Err(PackagesError::OldNode { found: version });
        }
        let files = ["package.json", "package-lock.json"].map(|name| folder.join(name));
        let home = home("npm", &files, "")?;
        if !home.is_dir() {
            install(&home, |target| {
                fs::create_dir(target)?;
                for file in &files {
                    fs::copy(file, target.join(file.file_name().unwrap_or_default()))?;
                }
                let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
                npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                    .args(["--loglevel", "error"])
                    .current_dir(target);
                Ok(("npm", needed, npm))
            })?;
        }
        Ok(Self { folder: home })
    }

    /// Node, in the folder of its packages.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut node = Command::new("node");
        node.current_dir(&self.folder);
        node
    }
}

/// Python packages, in a folder for `PYTHONPATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// The folder.
    pub path: PathBuf,
}

impl Python {
    /// Installs what a file of requirements pins by digests, if it is not installed.
    ///
    /// # Errors
    ///
    /// [`PackagesError`] if Python or pip is missing, or the packages cannot be had.
    pub fn with_packages(requirements: &Path) -> Result<Self, PackagesError> {
        let version = said("python3", PIP_NEEDED, python().arg("--version"))?;
        let home = home("python", &[requirements.to_owned()], &version)?;
        if !home.is_dir() {
            pip_install(requirements, &home)?;
        }
        Ok(Self { path: home })
    }
}

/// The Python of this machine.
#[must_use]
pub fn python() -> Command {
    Command::new(if cfg!(windows) { "python" } else { "python3" })
}

const PIP_NEEDED: &str = "install Python 3 with pip";

/// Installs what a file of requirements pins by digests into `home`, whole or not at all. pip refuses
/// any other file, and builds nothing.
///
/// # Errors
///
/// [`PackagesError`] if Python or pip is missing, or the packages cannot be had.
pub fn pip_install(requirements: &Path, home: &Path) -> Result<(), PackagesError> {
    install(home, |target| {
        let mut pip = python();
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--no-deps"])
            .args(["--disable-pip-version-check", "--only-binary=:all:"])
            .args(["--require-hashes", "--requirement"])
            .arg(requirements)
            .arg("--target")
            .arg(target);
        Ok(("python3 -m pip", PIP_NEEDED, pip))
    })
}

/// What installs, what it needs, and how it is called.
type Installer = (&'static str, &'static str, Command);

/// Installs into a folder beside `home`, and renames it.
fn install(
    home: &Path,
    installer: impl FnOnce(&Path) -> io::Result<Installer>,
) -> Result<(), PackagesError> {
    let cache = home.parent().unwrap_or(home);
    let unusable = |source| PackagesError::File {
        path: cache.to_owned(),
        source,
    };
    fs::create_dir_all(cache).map_err(unusable)?;
    let scratch = scratch_dir(cache, ".packages-").map_err(unusable)?;
    let target = scratch.path().join("target");
    let (program, needed, mut command) = installer(&target).map_err(unusable)?;
    let done =
        command::run(&mut command, INSTALL_WITHIN).map_err(|source| PackagesError::NoProgram {
            program,
            needed,
            source,
        })?;
    if !done.status.success() {
        return Err(PackagesError::Refused {
            program,
            said: done.last_words().to_owned(),
        });
    }
    match fs::rename(&target, home) {
        // Another run was faster, and its is as good.
        Err(_) if home.is_dir() => Ok(()),
        other => other.map_err(unusable),
    }
}

/// The folder in our cache for what these files pin, on this system.
fn home(kind: &str, files: &[PathBuf], version: &str) -> Result<PathBuf, PackagesError> {
    let cache = cache_dir().ok_or(PackagesError::NoCache)?;
    let mut digest = Sha256::new();
    digest.update(format!(
        "{version} {} {}",
        env::consts::OS,
        env::consts::ARCH
    ));
    for path in files {
        digest.update(fs::read(path).map_err(|source| PackagesError::File {
            path: path.clone(),
            source,
        })?);
    }
    let mut name = format!("{kind}-");
    for byte in &digest.finalize()[..8] {
        let _ = write!(name, "{byte:02x}");
    }
    Ok(cache.join(name))
}

/// The first line that a program says.
fn said(
    program: &'static str,
    needed: &'static str,
    command: &mut Command,
) -> Result<String, PackagesError> {
    let done = command::run(command, ANSWER_WITHIN).map_err(|source| PackagesError::NoProgram {
        program,
        needed,
        source,
    })?;
    Ok(done.stdout.trim().to_owned())
}

/// 20 of `v20.20.2`.
fn major(version: &str) -> Option<u32> {
    let version = version.strip_prefix('v')?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_of_node_is_read() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("20"), None);
        assert_eq!(major(""), None);
    }

    #[test]
    fn changed_lock_file_is_another_folder() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lock");
        let place = |text: &str, version: &str| {
            fs::write(&file, text).unwrap();
            home("npm", std::slice::from_ref(&file), version).unwrap()
        };

        let first = place("a", "1");

        assert_eq!(first, place("a", "1"));
        assert_ne!(first, place("b", "1"));
        assert_ne!(first, place("a", "2"));
    }

    #[test]
    fn installer_that_fails_leaves_nothing_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let requirements = dir.path().join("requirements.txt");
        fs::write(&requirements, "no-such-package-of-ours==1\n").unwrap();
        let home = dir.path().join("home");

        let error = pip_install(&requirements, &home).unwrap_err();

        let refused = matches!(&error, PackagesError::Refused { said, .. } if !said.is_empty());
        let absent = matches!(error, PackagesError::NoProgram { .. });
        assert!(refused || absent, "{error}");
        assert!(!home.exists());
    }
}
