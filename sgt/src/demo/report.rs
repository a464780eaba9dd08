use std::fmt;
use std::time::Duration;

use common::{SubjectSet as _, Subjects};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::facts::{Facts, OrderState, PaymentState, TicketState};
use super::invariants::Verdict;
use super::latency::Latencies;
use super::sale::Account;

/// As many lines as this are shown of what is wrong with one invariant. JSON has them all.
const SHOWN: usize = 10;

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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tickets {
    pub(super) sold: usize,
    pub(super) reserved: usize,
    pub(super) for_sale: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Orders {
    pub(super) complete: usize,
    pub(super) cancelled: usize,
    pub(super) open: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payments {
    pub(super) charged: usize,
    pub(super) refunded: usize,
    pub(super) without_charge: usize,
    pub(super) under_way: usize,
}

/// Events by channel, in the order of the list.
#[derive(Debug)]
pub(super) struct EventCounts(Vec<(Subjects, usize)>);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delivery {
    /// Every delivery to a queue group.
    pub(super) deliveries: u64,
    /// Those that were not the first of their event to that group.
    pub(super) redeliveries: u64,
    pub(super) dead_letters: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Latency {
    pub(super) measured: usize,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
}

impl Report {
    pub(super) fn is_sound(&self) -> bool {
        self.invariants.iter().all(|verdict| verdict.ok)
    }
}

impl Tickets {
    pub(super) fn count(facts: &Facts) -> Self {
        let mut counts = Self {
            sold: 0,
            reserved: 0,
            for_sale: 0,
        };
        for ticket in &facts.tickets {
            *match ticket.state {
                TicketState::ForSale => &mut counts.for_sale,
                TicketState::Reserved(_) => &mut counts.reserved,
                TicketState::Sold(_) => &mut counts.sold,
            } += 1;
        }
        counts
    }
}

impl Orders {
    pub(super) fn count(facts: &Facts) -> Self {
        let mut counts = Self {
            complete: 0,
            cancelled: 0,
            open: 0,
        };
        for order in &facts.orders {
            *match order.state {
                OrderState::Open => &mut counts.open,
                OrderState::Complete => &mut counts.complete,
                OrderState::Cancelled => &mut counts.cancelled,
            } += 1;
        }
        counts
    }
}

impl Payments {
    pub(super) fn count(facts: &Facts) -> Self {
        let mut counts = Self {
            charged: 0,
            refunded: 0,
            without_charge: 0,
            under_way: 0,
        };
        for payment in &facts.payments {
            *match payment.state {
                PaymentState::UnderWay => &mut counts.under_way,
                PaymentState::WithoutCharge => &mut counts.without_charge,
                PaymentState::Charged => &mut counts.charged,
                PaymentState::Refunded => &mut counts.refunded,
            } += 1;
        }
        counts
    }
}

impl EventCounts {
    pub(super) fn count(facts: &Facts) -> Self {
        let of = |subject| {
            facts
                .events
                .iter()
                .filter(|event| event.subject == subject)
                .count()
        };
        Self(
            Subjects::ALL
                .iter()
                .map(|&subject| (subject, of(subject)))
                .collect(),
        )
    }
}

impl Delivery {
    pub(super) fn count(facts: &Facts) -> Self {
        let deliveries: u64 = facts
            .consumers
            .iter()
            .map(|consumer| consumer.deliveries)
            .sum();
        let firsts: u64 = facts
            .consumers
            .iter()
            .map(|consumer| {
                let reads = |subject: Subjects| {
                    subject.stream().as_str() == consumer.stream
                        && subject
                            .consumers()
                            .iter()
                            .any(|group| group.as_str() == consumer.group)
                };
                facts
                    .events
                    .iter()
                    .filter(|event| reads(event.subject))
                    .count() as u64
            })
            .sum();
        Self {
            deliveries,
            redeliveries: deliveries.saturating_sub(firsts),
            dead_letters: facts.dead_letters.len(),
        }
    }
}

impl From<Latencies> for Latency {
    fn from(latencies: Latencies) -> Self {
        Self {
            measured: latencies.count(),
            p50_ms: latencies.percentile(50).map(millis),
            p99_ms: latencies.percentile(99).map(millis),
        }
    }
}

impl Serialize for EventCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (subject, count) in &self.0 {
            map.serialize_entry(subject.as_str(), count)?;
        }
        map.end()
    }
}

fn millis(duration: Duration) -> f64 {
    round(duration.as_secs_f64() * 1e3)
}

/// To a hundredth.
pub(super) fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
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
        for counts in self.events.0.chunks(4) {
            let counts: Vec<_> = counts
                .iter()
                .map(|(subject, count)| format!("{subject} {count}"))
                .collect();
            row(f, name, format_args!("{}", counts.join(", ")))?;
            name = "";
        }
        row(
            f,
            "Delivery",
            format_args!(
                "{} deliveries, {} redeliveries, {} dead letters",
                delivery.deliveries, delivery.redeliveries, delivery.dead_letters
            ),
        )?;
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

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            invariant,
            checked,
            broken,
            ok,
        } = self;
        let mark = if *ok { "ok" } else { "BROKEN" };
        writeln!(f, "  {mark:<7} {invariant} ({checked})")?;
        for line in broken.iter().take(SHOWN) {
            writeln!(f, "            {line}")?;
        }
        match broken.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "            and {more} more"),
        }
    }
}

impl fmt::Display for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sold,
            reserved,
            for_sale,
        } = self;
        write!(
            f,
            "{}: {sold} sold, {for_sale} for sale",
            sold + reserved + for_sale
        )?;
        or_nothing(f, *reserved, "reserved")
    }
}

impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            complete,
            cancelled,
            open,
        } = self;
        write!(
            f,
            "{}: {complete} complete, {cancelled} cancelled",
            complete + cancelled + open
        )?;
        or_nothing(f, *open, "open")
    }
}

impl fmt::Display for Payments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            charged,
            refunded,
            without_charge,
            under_way,
        } = self;
        let all = charged + refunded + without_charge + under_way;
        write!(f, "{all}: {charged} charged, {refunded} refunded")?;
        or_nothing(f, *without_charge, "without a charge")?;
        or_nothing(f, *under_way, "under way")
    }
}

fn or_nothing(f: &mut fmt::Formatter<'_>, count: usize, what: &str) -> fmt::Result {
    match count {
        0 => Ok(()),
        _ => write!(f, ", {count} {what}"),
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        let (p50, p99) = (show(self.p50_ms), show(self.p99_ms));
        write!(
            f,
            "p50 {p50:>9}  p99 {p99:>9}  ({} measured)",
            self.measured
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn redelivery_is_what_was_delivered_more_than_once() {
        let event = |key: &str| crate::demo::broker::Event {
            subject: Subjects::OrderCompleted,
            key: key.to_owned(),
            identity: (String::new(), key.to_owned()),
            written: None,
            stored: jiff::Timestamp::UNIX_EPOCH,
        };
        let consumer = |group: &str, deliveries| crate::demo::broker::Consumer {
            stream: "ORDERS".to_owned(),
            group: group.to_owned(),
            pending: 0,
            unacknowledged: 0,
            deliveries,
        };
        let facts = Facts {
            events: vec![event("one"), event("two")],
            consumers: vec![
                consumer("tickets-service", 2),
                consumer("payments-service", 5),
            ],
            ..Facts::default()
        };

        let delivery = Delivery::count(&facts);

        assert_eq!((delivery.deliveries, delivery.redeliveries), (7, 3));
    }
}
