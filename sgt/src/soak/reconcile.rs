//! Every event against the databases: is it in its stream, and has everybody who reads it applied it, each once?

use std::collections::{BTreeMap, BTreeSet};

use common::{PAYMENTS_SERVICE, QueueGroup, SubjectSet as _, Subjects};

use self::contents::{misnamed, untrue};
use crate::market::broker::Event;
use crate::market::counted::{Counted, counted};
use crate::market::facts::{Facts, Guarded};
use crate::market::invariants::Verdict;

mod contents;

/// What became of the events.
#[derive(Debug)]
pub(super) struct Reconciliation {
    /// Events that are in no stream though their row is there, and those that somebody who reads them has not applied.
    pub(super) lost: usize,
    /// Events that somebody has applied more than once.
    pub(super) applied_twice: usize,
    pub(super) verdicts: Vec<Verdict>,
}

impl Reconciliation {
    pub(super) fn of(facts: &Facts) -> Self {
        let (missing, extra) = versions(facts);
        let (spent, others) = others(facts);
        let unapplied = unapplied(facts);
        let applied_twice = effects_twice(facts);
        let (untold, invented_ends) = once_an_order(facts);
        let lost = missing.len() + untold.len() + unapplied.len();
        Self {
            lost,
            applied_twice: applied_twice.len(),
            verdicts: vec![
                Verdict::new(
                    "every version of every ticket and order is in its stream",
                    versioned(facts),
                    missing,
                ),
                Verdict::new(
                    "no version is in its stream that no row has, or twice",
                    versioned(facts),
                    extra,
                ),
                Verdict::new(
                    "versions are in their stream in order",
                    versioned(facts),
                    out_of_order(facts),
                ),
                Verdict::new(
                    "every payment, refund and end of an order's time is in its stream",
                    payments(facts),
                    untold,
                ),
                Verdict::new(
                    "no payment, refund or end of an order's time is in its stream twice, or without a row",
                    payments(facts),
                    invented_ends,
                ),
                Verdict::new(
                    "no event is in its stream twice",
                    events(facts),
                    copies(facts),
                ),
                Verdict::new(
                    "nothing but events is in the streams",
                    counted([
                        Counted(facts.events.len(), "event"),
                        Counted(spent.len(), "spent schedule"),
                    ]),
                    others.into_iter().cloned().collect(),
                ),
                Verdict::new(
                    "every event is named and keyed by what it tells of",
                    events(facts),
                    misnamed(facts),
                ),
                Verdict::new(
                    "every event tells what its row has",
                    events(facts),
                    untrue(facts),
                ),
                Verdict::new(
                    "every event was applied by all who read it",
                    events(facts),
                    unapplied,
                ),
                Verdict::new("no event was applied twice", events(facts), applied_twice),
                Verdict::new(
                    "nothing was applied that is in no stream",
                    Counted(facts.handled.len(), "note").to_string(),
                    invented(facts),
                ),
                Verdict::new(
                    "all who read a ticket or order have come to its last version",
                    Counted(facts.guards.len(), "guard").to_string(),
                    behind(facts),
                ),
            ],
        }
    }
}

/// What is in the streams and no event: schedules that have had theirs, and what has no business there.
fn others(facts: &Facts) -> (Vec<&String>, Vec<&String>) {
    let others = facts.others.iter();
    others.partition(|subject| is_spent(facts, subject))
}

/// Whether this is a schedule whose event has come. The server deletes it then. Version 2.15.1 was seen to have some
/// again after restarts, and to let them lie.
fn is_spent(facts: &Facts, subject: &str) -> bool {
    let scheduled = subject.strip_prefix("schedule.");
    let Some((channel, key)) = scheduled.and_then(|subject| subject.split_once('.')) else {
        return false;
    };
    let mut events = facts.events.iter();
    events.any(|event| event.subject.as_str() == channel && event.key == key)
}

fn events(facts: &Facts) -> String {
    Counted(facts.events.len(), "event").to_string()
}

fn versioned(facts: &Facts) -> String {
    let tickets = Counted(facts.tickets.len(), "ticket");
    let orders = Counted(facts.order_versions.len(), "order");
    format!("{tickets}, {orders}")
}

fn payments(facts: &Facts) -> String {
    let orders = Counted(facts.orders.len(), "order");
    let payments = Counted(facts.payments.len(), "payment");
    format!("{orders}, {payments}")
}

/// What each row has come to, by the stream that tells of it.
fn rows(facts: &Facts) -> BTreeMap<(&'static str, &str), i64> {
    let tickets = facts.tickets.iter().map(|ticket| {
        let stream = Subjects::TicketCreated.stream().as_str();
        ((stream, ticket.id.as_str()), ticket.version)
    });
    let orders = facts.order_versions.iter().map(|(id, version)| {
        let stream = Subjects::OrderCreated.stream().as_str();
        ((stream, id.as_str()), *version)
    });
    tickets.chain(orders).collect()
}

/// The versions that are missing, and those that are too many.
fn versions(facts: &Facts) -> (Vec<String>, Vec<String>) {
    let (mut missing, mut extra) = (Vec::new(), Vec::new());
    let mut stored: BTreeMap<_, BTreeMap<i64, BTreeSet<_>>> = BTreeMap::new();
    for event in &facts.events {
        if let Some(version) = event.version {
            let aggregate = (event.subject.stream().as_str(), event.key.as_str());
            let versions = stored.entry(aggregate).or_default();
            versions.entry(version).or_default().insert(&event.identity);
        }
    }
    let rows = rows(facts);
    for ((stream, key), last) in &rows {
        let versions = stored.get(&(*stream, *key));
        let is_there = |version: &i64| versions.is_some_and(|there| there.contains_key(version));
        missing.extend(
            (1..=*last)
                .filter(|version| !is_there(version))
                .map(|version| format!("version {version} of {key} is not in {stream}")),
        );
    }
    for ((stream, key), versions) in &stored {
        let last = rows.get(&(*stream, *key)).copied().unwrap_or_default();
        for (version, identities) in versions {
            if !(1..=last).contains(version) {
                extra.push(format!(
                    "version {version} of {key} is in {stream}, and its row has come to {last}"
                ));
            }
            if identities.len() > 1 {
                let events = identities.len();
                extra.push(format!(
                    "version {version} of {key} is told by {events} events in {stream}"
                ));
            }
        }
    }
    (missing, extra)
}

/// The relay sends what is of one key in order, whoever has its lease. Copies are another matter.
fn out_of_order(facts: &Facts) -> Vec<String> {
    let mut stored: BTreeMap<_, BTreeSet<i64>> = BTreeMap::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        let Some(version) = event.version else {
            continue;
        };
        let aggregate = (event.subject.stream().as_str(), event.key.as_str());
        let versions = stored.entry(aggregate).or_default();
        if versions.insert(version) && versions.last() != Some(&version) {
            broken.push(format!("{} stands behind a later one", named(event)));
        }
    }
    broken
}

/// Of each order there is one event on these channels, or none: those that are missing, and those that are too many.
fn once_an_order(facts: &Facts) -> (Vec<String>, Vec<String>) {
    let paid = facts.payments.iter().filter(|one| one.charge.is_some());
    let refunded = facts.payments.iter().filter(|one| one.refund.is_some());
    // By the time that all is quiet, the time of every order is over, also of those that were paid.
    let expired = facts.orders.iter().map(|order| order.id.as_str());
    let expected: [(Subjects, BTreeSet<&str>); 3] = [
        (
            Subjects::PaymentCreated,
            paid.map(|one| one.order.as_str()).collect(),
        ),
        (
            Subjects::PaymentRefunded,
            refunded.map(|one| one.order.as_str()).collect(),
        ),
        (Subjects::ExpirationComplete, expired.collect()),
    ];
    let (mut missing, mut extra) = (Vec::new(), Vec::new());
    for (subject, orders) in &expected {
        let mut stored: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for event in facts
            .events
            .iter()
            .filter(|event| event.subject == *subject)
        {
            stored
                .entry(event.key.as_str())
                .or_default()
                .insert(&event.identity);
        }
        let absent = orders.iter().filter(|order| !stored.contains_key(*order));
        missing.extend(absent.map(|order| format!("{subject} of {order} is in no stream")));
        for (order, identities) in &stored {
            if !orders.contains(order) {
                extra.push(format!("{subject} of {order} has no row"));
            }
            if identities.len() > 1 {
                let events = identities.len();
                extra.push(format!("{subject} of {order} is told by {events} events"));
            }
        }
    }
    (missing, extra)
}

/// Nobody is away for as long as the server remembers what it has stored, so that not even copies are there.
fn copies(facts: &Facts) -> Vec<String> {
    let mut counts: BTreeMap<_, (usize, &Event)> = BTreeMap::new();
    for event in &facts.events {
        let (count, _) = counts.entry(&event.identity).or_insert((0, event));
        *count += 1;
    }
    counts
        .values()
        .filter(|(count, _)| *count > 1)
        .map(|(count, event)| format!("{} is there {count} times", named(event)))
        .collect()
}

/// An event is applied where the inbox knows it, and where only the newest counts, also by one of a later version.
fn unapplied(facts: &Facts) -> Vec<String> {
    let applied: BTreeSet<_> = facts
        .handled
        .iter()
        .map(|handled| (handled.group.as_str(), &handled.identity))
        .collect();
    let mut missing = Vec::new();
    for event in &facts.events {
        for group in event.subject.consumers() {
            let is_known = applied.contains(&(group.as_str(), &event.identity));
            if !is_known && !is_passed_over(facts, *group, event) {
                missing.push(format!("{} was not applied by {group}", named(event)));
            }
        }
    }
    missing
}

/// payments-service keeps the newest title of a ticket, and does not read what is older.
fn is_passed_over(facts: &Facts, group: QueueGroup, event: &Event) -> bool {
    let wants_newest = group == PAYMENTS_SERVICE
        && matches!(
            event.subject,
            Subjects::TicketCreated | Subjects::TicketUpdated
        );
    let last = facts.guards.get(&guarded(group, event)).copied();
    wants_newest && event.version < last
}

/// The inbox cannot show this, for it has one line for each event. Effects do: whoever publishes because of an event
/// publishes at most one event on a channel for it.
fn effects_twice(facts: &Facts) -> Vec<String> {
    let mut effects: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for event in &facts.events {
        if let Some(cause) = &event.cause {
            let (source, id) = &event.identity;
            let by = (source, cause, event.subject.as_str(), &event.key);
            effects.entry(by).or_default().insert(id);
        }
    }
    effects
        .iter()
        .filter(|(_, ids)| ids.len() > 1)
        .map(|((source, cause, subject, key), ids)| {
            let times = ids.len();
            format!("{source} published {subject} of {key} {times} times because of {cause}")
        })
        .collect()
}

fn invented(facts: &Facts) -> Vec<String> {
    let stored: BTreeSet<_> = facts.events.iter().map(|event| &event.identity).collect();
    facts
        .handled
        .iter()
        .filter(|handled| !stored.contains(&handled.identity))
        .map(|handled| {
            let ((source, id), group) = (&handled.identity, &handled.group);
            format!("{group} has applied {id} of {source}")
        })
        .collect()
}

fn behind(facts: &Facts) -> Vec<String> {
    let mut behind = Vec::new();
    for ((stream, key), last) in rows(facts) {
        let readers: BTreeSet<_> = Subjects::ALL
            .iter()
            .filter(|subject| subject.stream().as_str() == stream)
            .flat_map(|subject| subject.consumers())
            .map(|group| group.as_str())
            .collect();
        for group in readers {
            let guarded = Guarded {
                group: group.to_owned(),
                stream: stream.to_owned(),
                key: key.to_owned(),
            };
            let reached = facts.guards.get(&guarded).copied().unwrap_or_default();
            if reached != last {
                behind.push(format!(
                    "{group} has come to version {reached} of {key} in {stream}, which is {last}"
                ));
            }
        }
    }
    behind
}

fn guarded(group: QueueGroup, event: &Event) -> Guarded {
    Guarded {
        group: group.as_str().to_owned(),
        stream: event.subject.stream().as_str().to_owned(),
        key: event.key.clone(),
    }
}

fn named(event: &Event) -> String {
    let (source, id) = &event.identity;
    let (subject, key) = (event.subject, &event.key);
    match event.version {
        Some(version) => {
            format!("{subject} of {key}, version {version} (id {id} of {source})")
        }
        None => format!("{subject} of {key} (id {id} of {source})"),
    }
}

#[cfg(test)]
mod tests;
