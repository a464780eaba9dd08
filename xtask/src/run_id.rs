use std::{env, fmt, process, str::FromStr, time::SystemTime};

/// Names one run of the tests, on all that it leaves on a Docker engine.
///
/// Carries the machine and the process, so that a later run can tell whether this one still goes
/// on, and the time, because process numbers come again.
///
/// ```
/// use xtask::RunId;
///
/// let ours = RunId::of_this_process();
/// assert!(!ours.is_over());
/// assert_eq!(ours.to_string().parse(), Ok(ours));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunId {
    machine: String,
    process: u32,
    /// Seconds since 1970.
    begun: u64,
}

/// Seconds after which a run on another machine, which we cannot ask, is taken to be over.
const LONGEST_RUN: u64 = 6 * 60 * 60;

impl RunId {
    /// A new id for a run that this process owns.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            machine: machine(),
            process: process::id(),
            begun: now(),
        }
    }

    /// The run that this process is part of: `TEST_RUN_ID`, as `cargo xtask test` sets it, else one
    /// of its own.
    #[must_use]
    pub fn current() -> Self {
        env::var("TEST_RUN_ID")
            .ok()
            .and_then(|id| id.parse().ok())
            .unwrap_or_else(Self::of_this_process)
    }

    /// Whether the process that owns the run is gone. A run on another machine is over after six
    /// hours.
    #[must_use]
    pub fn is_over(&self) -> bool {
        if self.machine == machine() {
            !process_exists(self.process)
        } else {
            now().saturating_sub(self.begun) > LONGEST_RUN
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            process,
            begun,
        } = self;
        write!(f, "{machine}/{process}/{begun}")
    }
}

/// The text is no [`RunId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a run's id is machine/process/seconds")]
pub struct ParseRunIdError;

impl FromStr for RunId {
    type Err = ParseRunIdError;

    fn from_str(text: &str) -> Result<Self, ParseRunIdError> {
        let parse = || {
            let mut parts = text.rsplitn(3, '/');
            let begun = parts.next()?.parse().ok()?;
            let process = parts.next()?.parse().ok()?;
            let machine = parts.next()?.to_owned();
            Some(Self {
                machine,
                process,
                begun,
            })
        };
        parse().ok_or(ParseRunIdError)
    }
}

fn now() -> u64 {
    let time = SystemTime::UNIX_EPOCH.elapsed();
    time.map_or(0, |time| time.as_secs())
}

#[cfg(unix)]
fn machine() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn machine() -> String {
    env::var("COMPUTERNAME").unwrap_or_default()
}

#[cfg(unix)]
fn process_exists(process: u32) -> bool {
    use rustix::{
        io::Errno,
        process::{Pid, test_kill_process},
    };

    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| match test_kill_process(pid) {
        Ok(()) => true,
        // It is there, and somebody else's.
        Err(error) => error == Errno::PERM,
    })
}

/// Not to be had from the standard library: better a container too many than one too few.
#[cfg(not(unix))]
fn process_exists(_: u32) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(machine: String, process: u32, begun: u64) -> RunId {
        RunId {
            machine,
            process,
            begun,
        }
    }

    #[test]
    fn ids_that_are_not_ours_are_refused() {
        for text in ["", "by-hand", "1/2", "host/x/1", "host/1/-1", "host/1/1/"] {
            assert_eq!(text.parse::<RunId>(), Err(ParseRunIdError), "{text:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn run_on_this_machine_is_over_when_its_process_is_gone() {
        assert!(!of(machine(), process::id(), 0).is_over());
        assert!(of(machine(), 999_999_999, now()).is_over());
        assert!(
            of(machine(), 0, now()).is_over(),
            "nought asks for our own group"
        );
    }

    #[test]
    fn run_on_another_machine_is_over_after_hours() {
        let there = || "not this machine".to_owned();

        assert!(!of(there(), process::id(), now() - 60).is_over());
        assert!(of(there(), process::id(), now() - LONGEST_RUN - 1).is_over());
    }
}
