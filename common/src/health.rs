use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What is noted of a part that has yet to begin.
const NOT_STARTED: &str = "not started yet";

/// What keeps a process from being ready, and what it should be looked at for. Shared by the
/// client, the runner and the relay, and read by `/readyz`.
///
/// Cheap to clone; clones share what is known.
#[derive(Debug, Clone, Default)]
pub struct Health {
    troubles: Arc<Mutex<BTreeMap<String, Trouble>>>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it means for readiness.
    pub severity: Severity,
    /// What it is, for a person.
    pub message: String,
}

/// What a trouble means for readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The process works; somebody should look.
    Warning,
    /// The process is not ready.
    NotReady,
}

impl Health {
    /// Nothing is wrong yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes the trouble of one part, in place of what was noted of it. Logged when it is news.
    pub fn report(&self, part: &str, severity: Severity, message: impl Into<String>) {
        let trouble = Trouble {
            severity,
            message: message.into(),
        };
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.get(part) != Some(&trouble) {
            tracing::warn!(part, ?severity, message = %trouble.message, "trouble");
            troubles.insert(part.to_owned(), trouble);
        }
    }

    /// Notes that a part has yet to begin its work. Logged by nobody: that is how every process starts.
    pub(crate) fn await_start(&self, part: &str) {
        let trouble = Trouble {
            severity: Severity::NotReady,
            message: NOT_STARTED.to_owned(),
        };
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.entry(part.to_owned()).or_insert(trouble);
    }

    /// Notes that a part is well again.
    pub fn clear(&self, part: &str) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match troubles.remove(part) {
            Some(trouble) if trouble.message == NOT_STARTED => tracing::debug!(part, "started"),
            Some(_) => tracing::info!(part, "well again"),
            None => (),
        }
    }

    /// Every trouble by part.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<String, Trouble> {
        self.troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether no trouble keeps the process from being ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.troubles()
            .values()
            .all(|trouble| trouble.severity < Severity::NotReady)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_that_has_not_started_keeps_the_process_from_being_ready() {
        let health = Health::new();
        health.await_start("consumer");
        assert!(!health.is_ready());
        health.clear("consumer");
        assert!(health.is_ready());
    }

    #[test]
    fn trouble_is_not_forgotten_for_a_start() {
        let health = Health::new();
        health.report("consumer", Severity::NotReady, "gone");
        health.await_start("consumer");
        assert_eq!(health.troubles()["consumer"].message, "gone");
    }
}
