use std::fmt;
use std::time::Duration;

use common::{SubjectSet as _, Subjects};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::facts::{Facts, OrderState, PaymentState, TicketState};
use super::latency::Latencies;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tickets {
    pub(crate) sold: usize,
    pub(crate) reserved: usize,
    pub(crate) for_sale: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Orders {
    pub(crate) complete: usize,
    pub(crate) cancelled: usize,
    pub(crate) open: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payments {
    pub(crate) charged: usize,
    pub(crate) refunded: usize,
    pub(crate) without_charge: usize,
    pub(crate) under_way: usize,
}

/// Events by channel, in the order of the list.
#[derive(Debug)]
pub(crate) struct EventCounts(Vec<(Subjects, usize)>);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivery {
    /// Every delivery to a queue group.
    pub(crate) deliveries: u64,
    /// Those that were not the first of their event to that group.
    pub(crate) redeliveries: u64,
    pub(crate) dead_letters: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    pub(crate) measured: usize,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

impl Tickets {
    pub(crate) fn count(facts: &Facts) -> Self {
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
    pub(crate) fn count(facts: &Facts) -> Self {
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
    pub(crate) fn count(facts: &Facts) -> Self {
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
    pub(crate) fn count(facts: &Facts) -> Self {
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

    /// How many there are on all channels.
    pub(crate) fn total(&self) -> usize {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Four channels a line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |counts: &[(Subjects, usize)]| {
            let counts: Vec<_> = counts
                .iter()
                .map(|(subject, count)| format!("{subject} {count}"))
                .collect();
            counts.join(", ")
        };
        self.0.chunks(4).map(line).collect()
    }
}

impl Delivery {
    pub(crate) fn count(facts: &Facts) -> Self {
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
pub(crate) fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            deliveries,
            redeliveries,
            dead_letters,
        } = self;
        write!(
            f,
            "{deliveries} deliveries, {redeliveries} redeliveries, {dead_letters} dead letters"
        )
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

    #[test]
    fn redelivery_is_what_was_delivered_more_than_once() {
        let event = |key: &str| crate::market::broker::Event {
            subject: Subjects::OrderCompleted,
            key: key.to_owned(),
            named: (String::new(), String::new()),
            identity: (String::new(), key.to_owned()),
            cause: None,
            version: None,
            payload: serde_json::Value::Null,
            written: None,
            stored: jiff::Timestamp::UNIX_EPOCH,
        };
        let consumer = |group: &str, deliveries| crate::market::broker::Consumer {
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
