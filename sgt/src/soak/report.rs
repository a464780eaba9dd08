use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::chaos::Faults;
use super::recognised::Recognised;
use crate::market::counted::Counted;
use crate::market::counts::{Delivery, EventCounts, Latency, Orders, Payments, Tickets};
use crate::market::facts::Facts;
use crate::market::invariants::Verdict;
use crate::market::sale::Account;

/// What the soak did, and whether the system stayed sound.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) minutes: u32,
    /// From the first ticket until all was quiet.
    pub(super) seconds: f64,
    pub(super) requests: usize,
    pub(super) tickets: Tickets,
    pub(super) orders: Orders,
    pub(super) payments: Payments,
    /// What buyers and sellers did and were told.
    pub(super) sale: Account,
    /// How often each kind befell each target.
    pub(super) faults: Faults,
    /// The longest time in which no service applied any event.
    pub(super) longest_pause_seconds: f64,
    pub(super) events: EventCounts,
    pub(super) delivery: Delivery,
    #[serde(flatten)]
    pub(super) recognised: Recognised,
    /// Events that are in no stream though their row is there, and those that a group did not apply.
    pub(super) lost: usize,
    /// Events whose effect is there more than once.
    pub(super) applied_twice: usize,
    /// From the moment the server stored an event to the moment a group's handler noted it in its transaction.
    pub(super) published_to_handled: Latency,
    pub(super) invariants: Vec<Verdict>,
}

/// The longest time between two events that were applied, from `begun` on.
pub(super) fn longest_pause(facts: &Facts, begun: Timestamp) -> Duration {
    let mut applied: Vec<_> = facts.handled.iter().map(|handled| handled.at).collect();
    applied.push(begun);
    applied.sort_unstable();
    applied
        .windows(2)
        .map(|pair| Duration::try_from(pair[1].duration_since(pair[0])).unwrap_or_default())
        .max()
        .unwrap_or_default()
}

impl Report {
    pub(super) fn is_sound(&self) -> bool {
        self.invariants.iter().all(|verdict| verdict.ok)
    }

    /// Everything that matters, in one line.
    pub(super) fn line(&self) -> String {
        let Self {
            seed,
            minutes,
            faults,
            events,
            delivery,
            recognised,
            lost,
            applied_twice,
            longest_pause_seconds,
            invariants,
            ..
        } = self;
        let broken = invariants.iter().filter(|verdict| !verdict.ok).count();
        format!(
            "seed {seed}, {}: {}, {}, {} redeliveries, {} duplicates suppressed, \
             longest pause {longest_pause_seconds:.1} s, lost {lost}, applied twice {applied_twice}, \
             {broken} of {} invariants broken",
            Counted(*minutes as usize, "minute"),
            Counted(faults.total(), "fault"),
            Counted(events.total(), "event"),
            delivery.redeliveries,
            recognised.duplicates_suppressed,
            invariants.len(),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tickets,
            orders,
            payments,
            sale,
            faults,
            delivery,
            recognised:
                Recognised {
                    duplicates_suppressed,
                    overtaken,
                    early,
                },
            ..
        } = self;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, text: fmt::Arguments<'_>| {
            writeln!(f, "{name:<11}{text}")
        };

        writeln!(f)?;
        let minutes = Counted(self.minutes as usize, "minute");
        row(
            f,
            "Soak",
            format_args!(
                "seed {}, {minutes}, quiet after {:.1} s",
                self.seed, self.seconds
            ),
        )?;
        row(f, "Faults", format_args!("{faults}"))?;
        row(f, "Tickets", format_args!("{tickets}"))?;
        row(f, "Orders", format_args!("{orders}"))?;
        row(f, "Payments", format_args!("{payments}"))?;
        row(f, "Buyers", format_args!("{}", sale.buyers()))?;
        let mut name = "Events";
        for line in self.events.lines() {
            row(f, name, format_args!("{line}"))?;
            name = "";
        }
        row(f, "Delivery", format_args!("{delivery}"))?;
        row(
            f,
            "",
            format_args!(
                "{duplicates_suppressed} duplicates suppressed, {early} early ones held, {overtaken} overtaken"
            ),
        )?;
        row(
            f,
            "",
            format_args!("lost {}, applied twice {}", self.lost, self.applied_twice),
        )?;
        row(
            f,
            "Pause",
            format_args!("{:.1} s at most", self.longest_pause_seconds),
        )?;
        row(
            f,
            "Latency",
            format_args!("published to handled {}", self.published_to_handled),
        )?;
        row(
            f,
            "HTTP",
            format_args!(
                "{} requests, {} not answered, {} asked for patience",
                self.requests, sale.lost_answers, sale.unavailable
            ),
        )?;

        writeln!(f, "\nInvariants")?;
        for verdict in &self.invariants {
            write!(f, "{verdict}")?;
        }
        let (all, broken) = (
            self.invariants.len(),
            self.invariants.iter().filter(|verdict| !verdict.ok).count(),
        );
        match broken {
            0 => write!(f, "All {all} invariants hold."),
            _ => write!(f, "{broken} of {all} invariants are BROKEN."),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self
            .by_kind()
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        write!(f, "{}: {}", self.total(), kinds.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use common::{SubjectSet as _, Subjects};

    use super::super::schedule::{Kind, Target};
    use super::*;
    use crate::market::api::Service;
    use crate::market::facts::Handled;
    use crate::market::latency::Latencies;

    fn report(broken: Vec<String>) -> Report {
        let facts = Facts::default();
        let orders = Target::Replica(Service::Orders, 1);
        let faults = [
            ((Target::Server, Kind::Kill), 2),
            ((orders, Kind::Kill), 1),
            ((orders, Kind::LameDuck), 1),
        ];
        Report {
            seed: 7,
            minutes: 1,
            seconds: 70.5,
            requests: 3,
            tickets: Tickets::count(&facts),
            orders: Orders::count(&facts),
            payments: Payments::count(&facts),
            sale: Account::default(),
            faults: Faults(faults.into()),
            longest_pause_seconds: 12.5,
            events: EventCounts::count(&facts),
            delivery: Delivery::count(&facts),
            recognised: Recognised {
                duplicates_suppressed: 4,
                ..Recognised::default()
            },
            lost: broken.len(),
            applied_twice: 0,
            published_to_handled: Latencies::default().into(),
            invariants: vec![Verdict::new(
                "nothing is lost",
                "3 events".to_owned(),
                broken,
            )],
        }
    }

    #[test]
    fn line_says_everything_that_matters() {
        assert_eq!(
            report(Vec::new()).line(),
            "seed 7, 1 minute: 4 faults, 0 events, 0 redeliveries, 4 duplicates suppressed, \
             longest pause 12.5 s, lost 0, applied twice 0, 0 of 1 invariants broken"
        );
    }

    #[test]
    fn text_says_what_is_broken() {
        let broken = report(vec!["an event".to_owned()]);
        assert!(!broken.is_sound());
        let text = broken.to_string();
        assert!(
            text.contains("Faults     4: 3 killed, 1 lame duck\n"),
            "{text}"
        );
        assert!(text.contains("lost 1, applied twice 0\n"), "{text}");
        assert!(
            text.contains("  BROKEN  nothing is lost (3 events)\n            an event\n"),
            "{text}"
        );
        assert!(text.ends_with("1 of 1 invariants are BROKEN."), "{text}");
    }

    #[test]
    fn json_has_faults_by_target_and_kind_and_every_channel() {
        let json = serde_json::to_value(report(Vec::new())).unwrap();
        assert_eq!(json["faults"]["nats-server"]["kill"], 2);
        assert_eq!(json["faults"]["orders-service 2"]["lameDuck"], 1);
        assert_eq!(
            json["events"].as_object().unwrap().len(),
            Subjects::ALL.len()
        );
        assert_eq!(json["duplicatesSuppressed"], 4);
        assert_eq!(
            (&json["lost"], &json["appliedTwice"]),
            (&0.into(), &0.into())
        );
    }

    #[test]
    fn longest_pause_counts_from_the_beginning() {
        let applied_after = |seconds| Handled {
            group: String::new(),
            identity: (String::new(), String::new()),
            at: Timestamp::UNIX_EPOCH + Duration::from_secs(seconds),
        };
        let facts = Facts {
            handled: [5, 3, 12].map(applied_after).into(),
            ..Facts::default()
        };
        let pause = longest_pause(&facts, Timestamp::UNIX_EPOCH);
        assert_eq!(pause, Duration::from_secs(7));
    }
}
