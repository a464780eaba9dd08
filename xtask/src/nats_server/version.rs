use std::{fmt, io, path::Path, process::Command, str::FromStr, time::Duration};

use crate::command;

/// The version of a server, without what follows a hyphen.
///
/// ```
/// use xtask::nats_server::Version;
///
/// let found: Version = "nats-server: v2.9.10".parse()?;
/// assert!(found < Version::MINIMUM);
/// assert!("v2.12.0-RC.1".parse::<Version>()? >= Version::MINIMUM);
/// # Ok::<(), xtask::nats_server::ProbeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// The oldest server that has what we use: scheduled messages came with 2.12.
    pub const MINIMUM: Self = Self::new(2, 12, 0);

    /// The server that is fetched when none is found.
    pub const PINNED: Self = Self::new(2, 15, 1);

    const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            major,
            minor,
            patch,
        } = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl FromStr for Version {
    type Err = ProbeError;

    /// Reads what `nats-server --version` prints, or a bare version with or without the `v`.
    fn from_str(text: &str) -> Result<Self, ProbeError> {
        let parse = || {
            let number = text.split_whitespace().last()?.trim_start_matches('v');
            let mut parts = number.split(['-', '+']).next()?.split('.');
            let mut next = || parts.next()?.parse().ok();
            let version = Self::new(next()?, next()?, next()?);
            parts.next().is_none().then_some(version)
        };
        parse().ok_or_else(|| ProbeError::Unreadable {
            said: text.trim().to_owned(),
        })
    }
}

/// Why a program cannot serve as our `nats-server`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// It could not be started, or did not end.
    #[error("it cannot be run")]
    Run(#[source] io::Error),
    /// It ran, and what it printed is no version.
    #[error("it does not tell its version, but says {said:?}")]
    Unreadable {
        /// The last line it printed.
        said: String,
    },
    /// It is a server, from before what we use existed.
    #[error("found {found}, too old, need {minimum}", minimum = Version::MINIMUM)]
    TooOld {
        /// What it calls itself.
        found: Version,
    },
}

/// Asks a program for its version, and accepts [`Version::MINIMUM`] or newer.
pub(super) fn probe(program: &Path) -> Result<Version, ProbeError> {
    let finished = command::run(
        Command::new(program).arg("--version"),
        Duration::from_secs(10),
    )
    .map_err(ProbeError::Run)?;
    let found: Version = finished.last_words().parse()?;
    if found < Version::MINIMUM {
        return Err(ProbeError::TooOld { found });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(u32, u32, u32)>) {
        let expected = expected.map(|(major, minor, patch)| Version::new(major, minor, patch));
        assert_eq!(text.parse::<Version>().ok(), expected, "{text:?}");
    }

    #[test]
    fn versions_are_read_from_what_servers_print() {
        check("nats-server: v2.15.1", Some((2, 15, 1)));
        check("nats-server: v2.9.10\n", Some((2, 9, 10)));
        check("2.12.0", Some((2, 12, 0)));
        check("v2.12.0-RC.1", Some((2, 12, 0)));
        check("nats-server: v2.14.0-preview.2+build.7", Some((2, 14, 0)));
        check("", None);
        check("nats-server: v2.15", None);
        check("nats-server: v2.15.1.4", None);
        check("GNU coreutils 9.1", None);
        check("command not found", None);
    }

    #[test]
    fn versions_are_compared_by_number_not_by_letter() {
        assert!("2.9.10".parse::<Version>().unwrap() < Version::MINIMUM);
        assert!(Version::PINNED >= Version::MINIMUM);
    }
}
