use std::fmt;

use serde::Serialize;

use crate::market::counts::{Delivery, EventCounts, Latency, Orders, Payments, Tickets};
use crate::market::invariants::Verdict;
use crate::market::sale::Account;

/// What the demo did, and whether it went as it must.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) seconds: f64,
    pub(super) requests: usize,
    pub(super) tickets: Tickets,
    pub(super) orders: Orders,
    pub(super) payments: Payments,
    /// What buyers and sellers did and were told.
    pub(super) sale: Account,
    pub(super) events: EventCounts,
    pub(super) delivery: Delivery,
    /// From the moment the server stored an event to the moment a group's handler noted it in its transaction.
    pub(super) published_to_handled: Latency,
    /// From the moment the publisher wrote an event into its outbox to that same moment.
    pub(super) written_to_handled: Latency,
    pub(super) invariants: Vec<Verdict>,
}

impl Report {
    pub(super) fn is_sound(&self) -> bool {
        self.invariants.iter().all(|verdict| verdict.ok)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tickets,
            orders,
            payments,
            sale,
            delivery,
            ..
        } = self;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, text: fmt::Arguments<'_>| {
            writeln!(f, "{name:<11}{text}")
        };

        writeln!(f)?;
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
            "Latency",
            format_args!("published to handled {}", self.published_to_handled),
        )?;
        row(
            f,
            "",
            format_args!("written to handled   {}", self.written_to_handled),
        )?;
        row(
            f,
            "HTTP",
            format_args!("{} requests in {:.1} s", self.requests, self.seconds),
        )?;

        writeln!(f, "\nInvariants")?;
        for verdict in &self.invariants {
            write!(f, "{verdict}")?;
        }
        let broken = self.invariants.iter().filter(|verdict| !verdict.ok).count();
        if broken == 0 {
            write!(f, "All {} invariants hold.", self.invariants.len())
        } else {
            write!(
                f,
                "{broken} of {} invariants are BROKEN.",
                self.invariants.len()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::{SubjectSet as _, Subjects};

    use super::*;
    use crate::market::facts::Facts;
    use crate::market::latency::Latencies;

    fn report(invariants: Vec<Verdict>) -> Report {
        let facts = Facts::default();
        Report {
            seed: 7,
            seconds: 1.5,
            requests: 3,
            tickets: Tickets::count(&facts),
            orders: Orders::count(&facts),
            payments: Payments::count(&facts),
            sale: Account::default(),
            events: EventCounts::count(&facts),
            delivery: Delivery::count(&facts),
            published_to_handled: Latencies::of(vec![Duration::from_micros(1234)]).into(),
            written_to_handled: Latencies::default().into(),
            invariants,
        }
    }

    fn broken(lines: usize) -> Verdict {
        let lines = (1..=lines).map(|line| format!("line {line}")).collect();
        Verdict::new("nothing is wrong", "3 things".to_owned(), lines)
    }

    #[test]
    fn broken_invariant_makes_the_report_unsound() {
        assert!(report(vec![broken(0)]).is_sound());
        assert!(!report(vec![broken(0), broken(1)]).is_sound());
    }

    #[test]
    fn text_says_what_is_broken_and_where() {
        let text = report(vec![broken(0), broken(12)]).to_string();
        assert!(
            text.contains("  ok      nothing is wrong (3 things)\n"),
            "{text}"
        );
        assert!(
            text.contains("  BROKEN  nothing is wrong (3 things)\n            line 1\n"),
            "{text}"
        );
        assert!(text.contains("line 10\n            and 2 more\n"), "{text}");
        assert!(text.ends_with("1 of 2 invariants are BROKEN."), "{text}");
    }

    #[test]
    fn json_is_one_line_with_every_channel() {
        let json = serde_json::to_string(&report(vec![broken(12)])).unwrap();
        assert!(!json.contains('\n'));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["publishedToHandled"]["p99Ms"], 1.23);
        assert_eq!(json["writtenToHandled"]["p50Ms"], serde_json::Value::Null);
        assert_eq!(
            json["events"].as_object().unwrap().len(),
            Subjects::ALL.len()
        );
        assert_eq!(
            json["invariants"][0]["broken"].as_array().unwrap().len(),
            12
        );
    }
}
