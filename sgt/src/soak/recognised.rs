use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::market::facts::Facts;

/// What the services log so that this can be counted: a line for each event that came and was not applied.
pub(super) const LOGGED: &str = "info,common::runner::worker=debug";

/// How often an event came that was not to be applied, or not yet, as each replica says of itself.
///
/// An acknowledgement that a runner knows to have given before, and gives again without asking its database, is not
/// among them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recognised {
    /// Its group had applied it before.
    pub(super) duplicates_suppressed: usize,
    /// Its group wants the newest only, and had applied a later version.
    pub(super) overtaken: usize,
    /// A predecessor was missing, and it was held.
    pub(super) early: usize,
}

impl Recognised {
    /// Counts in the logs of this folder, and looks up in the inboxes what was applied.
    pub(super) fn count(folder: &Path, facts: &Facts) -> io::Result<Self> {
        let applied = facts
            .handled
            .iter()
            .map(|handled| (handled.group.as_str(), handled.identity.1.as_str()))
            .collect();
        let mut all = Self::default();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let log = std::fs::read(&path)?;
                for line in String::from_utf8_lossy(&log).lines() {
                    all.note(line, &applied);
                }
            }
        }
        Ok(all)
    }

    fn note(&mut self, line: &str, applied: &BTreeSet<(&str, &str)>) {
        let Some((delivery, told)) = line.split_once("not applied ") else {
            return;
        };
        let word = |text: &str, name: &str| {
            let (_, rest) = text.split_once(name)?;
            let end = rest.find([' ', '}', '"']).unwrap_or(rest.len());
            Some(rest[..end].to_owned())
        };
        let group = word(delivery, "durable=").unwrap_or_default();
        let id = word(told, "id=\"").unwrap_or_default();
        match word(told, "handled=").as_deref() {
            Some("Held") => self.early += 1,
            Some(_) if applied.contains(&(group.as_str(), id.as_str())) => {
                self.duplicates_suppressed += 1;
            }
            Some(_) => self.overtaken += 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_are_told_apart() {
        let line = |durable: &str, id: &str, handled: &str| {
            format!(
                "2026-01-01T00:00:00Z DEBUG delivery{{channel=\"ticket:updated\" key=\"k\" durable={durable} \
                 sequence=5 deliveries=1}}: common::runner::worker: not applied id=\"{id}\" handled={handled}"
            )
        };
        let applied = BTreeSet::from([("orders-service", "known")]);
        let mut all = Recognised::default();
        for line in [
            line("orders-service", "known", "AlreadyApplied"),
            line("orders-service", "known", "Duplicate"),
            line("payments-service", "known", "AlreadyApplied"),
            line("orders-service", "early", "Held"),
            "2026-01-01T00:00:00Z  INFO relay has the lease epoch=1".to_owned(),
        ] {
            all.note(&line, &applied);
        }
        let expected = Recognised {
            duplicates_suppressed: 2,
            overtaken: 1,
            early: 1,
        };
        assert_eq!(all, expected);
    }
}
