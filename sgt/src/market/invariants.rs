use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::ops::RangeInclusive;

use common::{SubjectSet as _, Subjects};
use jiff::SignedDuration;
use serde::Serialize;

use super::broker::Event;
use super::counted::Counted;
use super::facts::{Facts, OrderState, Payment, TicketState};
use super::plan::Weather;
use super::sale::{Account, Ids};

mod money;
mod people;

use money::{
    charged_as_agreed, charges_complete_or_refunded, ledger_agrees, nobody_charged_twice,
    orders_know_their_money,
};
use people::{priced_as_asked, told_the_truth};

/// How long after its time an order may be cancelled: schedules fire by the second, and under load everything takes
/// a while. Well below the half minute after which the sweep does it.
const ON_TIME: SignedDuration = SignedDuration::from_secs(15);

/// As many lines as this are shown of what is wrong with one invariant. JSON has them all.
const SHOWN: usize = 10;

/// Something that must be true when all is quiet, and whether it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// What must be true.
    pub(crate) invariant: &'static str,
    /// Whether it is.
    pub(crate) ok: bool,
    /// What was looked at.
    pub(crate) checked: String,
    /// Where it is not true, and what is true instead: one line each.
    pub(crate) broken: Vec<String>,
}

/// Judges what the databases, the gateway's ledger and the streams say, and what people were told.
pub(crate) fn judge(facts: &Facts, told: &Account, weather: Weather) -> Vec<Verdict> {
    vec![
        no_ticket_sold_twice(facts),
        tickets_agree(facts),
        orders_agree(facts),
        orders_ended(facts),
        charges_complete_or_refunded(facts),
        nobody_charged_twice(facts),
        charged_as_agreed(facts),
        ledger_agrees(facts),
        orders_know_their_money(facts),
        told_the_truth(facts, told),
        priced_as_asked(facts, told),
        expired_on_time(facts, &told.let_expire, weather),
        every_change_published(facts),
        outboxes_empty(facts),
        consumers_caught_up(facts),
        no_dead_letters(facts),
    ]
}

impl Verdict {
    pub(crate) fn new(invariant: &'static str, checked: String, broken: Vec<String>) -> Self {
        Self {
            invariant,
            ok: broken.is_empty(),
            checked,
            broken,
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

/// At most one order of a ticket is paid or may still be, and at most one charge for it is kept.
fn no_ticket_sold_twice(facts: &Facts) -> Verdict {
    let mut broken = Vec::new();
    let standing = facts
        .orders
        .iter()
        .filter(|order| order.state != OrderState::Cancelled)
        .map(|order| (order.ticket.as_str(), order.id.as_str()));
    for (ticket, orders) in shared(standing) {
        broken.push(format!(
            "ticket {ticket} has orders {}",
            orders.join(" and ")
        ));
    }

    let ticket_of: BTreeMap<_, _> = facts
        .orders
        .iter()
        .map(|order| (order.id.as_str(), order.ticket.as_str()))
        .collect();
    let refunded: BTreeSet<_> = facts
        .refunds
        .iter()
        .map(|refund| refund.charge.as_str())
        .collect();
    let kept = facts
        .charges
        .iter()
        .filter(|charge| !refunded.contains(charge.id.as_str()))
        .filter_map(|charge| Some((*ticket_of.get(charge.order.as_str())?, charge.id.as_str())));
    for (ticket, charges) in shared(kept) {
        broken.push(format!(
            "ticket {ticket} is paid by charges {}",
            charges.join(" and ")
        ));
    }
    Verdict::new(
        "no ticket sold twice",
        format!(
            "{}, {}",
            Counted(facts.tickets.len(), "ticket"),
            Counted(facts.orders.len(), "order")
        ),
        broken,
    )
}

/// tickets-service owns the ticket; orders-service has a replica, payments-service the title, and
/// the orders say whose it is.
fn tickets_agree(facts: &Facts) -> Verdict {
    let mut broken = Vec::new();
    let owned = by_id(&facts.tickets, |ticket| &ticket.id);
    compare(
        &mut broken,
        "ticket",
        (
            "tickets-service",
            owned
                .iter()
                .map(|(id, ticket)| (*id, ticket.replica()))
                .collect(),
        ),
        (
            "orders-service",
            facts
                .ticket_replicas
                .iter()
                .map(|ticket| (ticket.id.as_str(), ticket.clone()))
                .collect(),
        ),
    );
    compare(
        &mut broken,
        "title of ticket",
        (
            "tickets-service",
            owned
                .iter()
                .map(|(id, ticket)| (*id, ticket.title.as_str()))
                .collect(),
        ),
        (
            "payments-service",
            facts
                .titles
                .iter()
                .map(|title| (title.ticket.as_str(), title.text.as_str()))
                .collect(),
        ),
    );

    let mut standing: BTreeMap<&str, TicketState> = BTreeMap::new();
    for order in &facts.orders {
        let state = match order.state {
            OrderState::Complete => TicketState::Sold(order.id.clone()),
            OrderState::Open => TicketState::Reserved(order.id.clone()),
            OrderState::Cancelled => continue,
        };
        standing.insert(&order.ticket, state);
    }
    for (id, ticket) in &owned {
        let expected = standing.get(id).unwrap_or(&TicketState::ForSale);
        if ticket.state != *expected {
            broken.push(format!(
                "ticket {id} is {:?} in tickets-service, {expected:?} by the orders",
                ticket.state
            ));
        }
    }
    // A sold ticket's order asks for it for ever.
    let asking = facts
        .orders
        .iter()
        .filter(|order| order.state != OrderState::Cancelled)
        .map(|order| (order.id.as_str(), order.ticket.as_str()));
    let reserved = facts.reservations.iter();
    compare(
        &mut broken,
        "ticket that is reserved by order",
        ("orders-service", asking.collect()),
        (
            "tickets-service",
            reserved
                .map(|(order, ticket)| (order.as_str(), ticket.as_str()))
                .collect(),
        ),
    );
    Verdict::new(
        "every ticket's state agrees across the three services",
        Counted(owned.len(), "ticket").to_string(),
        broken,
    )
}

/// orders-service owns the order, payments-service has a replica.
fn orders_agree(facts: &Facts) -> Verdict {
    let mut broken = Vec::new();
    compare(
        &mut broken,
        "order",
        ("orders-service", by_id(&facts.orders, |order| &order.id)),
        (
            "payments-service",
            by_id(&facts.order_replicas, |order| &order.id),
        ),
    );
    Verdict::new(
        "every order's state agrees across the services",
        Counted(facts.orders.len(), "order").to_string(),
        broken,
    )
}

/// Paid, cancelled or expired: nothing is left to wait for.
fn orders_ended(facts: &Facts) -> Verdict {
    let open = facts
        .orders
        .iter()
        .filter(|order| order.state == OrderState::Open);
    Verdict::new(
        "every order has come to its end",
        Counted(facts.orders.len(), "order").to_string(),
        open.map(|order| format!("order {} is neither complete nor cancelled", order.id))
            .collect(),
    )
}

/// The schedule did it: without, the sweep of overdue orders comes half a minute later and cancels them all the same.
fn expired_on_time(facts: &Facts, let_expire: &Ids, weather: Weather) -> Verdict {
    let mut broken = Vec::new();
    let orders = by_id(&facts.orders, |order| &order.id);
    for id in &let_expire.0 {
        let events = |subject| {
            let of_order = move |event: &&Event| event.subject == subject && event.key == *id;
            facts.events.iter().filter(of_order)
        };
        let due: BTreeSet<_> = events(Subjects::ExpirationComplete)
            .map(|event| &event.identity)
            .collect();
        if due.len() != 1 {
            let due = due.len();
            broken.push(format!("order {id} has {due} expiration:complete, not 1"));
        }
        let ended = events(Subjects::OrderCancelled)
            .map(|event| event.stored)
            .min();
        let (Some(order), Some(ended)) = (orders.get(id.as_str()), ended) else {
            broken.push(format!(
                "order {id} was let expire, and was never cancelled"
            ));
            continue;
        };
        let late = ended.duration_since(order.expires_at);
        // Whoever is cut off or frozen is late, and the sweep may be first.
        if late > ON_TIME && weather == Weather::Calm {
            let late = late.as_secs();
            broken.push(format!("order {id} was cancelled {late} s after its time"));
        }
    }
    Verdict::new(
        match weather {
            Weather::Calm => "every order that was let expire was cancelled on time",
            Weather::Rough => "every order that was let expire was cancelled",
        },
        Counted(let_expire.len(), "order").to_string(),
        broken,
    )
}

/// No event was lost between a row and its stream, and none was invented or made twice. The same
/// event may lie there twice: a relay that takes over may send it again.
fn every_change_published(facts: &Facts) -> Verdict {
    let mut broken = Vec::new();
    for &subject in Subjects::ALL {
        let made = changes(facts, subject);
        let mut stored: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for event in facts.events.iter().filter(|event| event.subject == subject) {
            stored
                .entry(event.key.as_str())
                .or_default()
                .insert(&event.identity);
        }
        for (key, changes) in &made {
            let events = stored.get(key).map_or(0, BTreeSet::len);
            let expected = events.clamp(*changes.start(), *changes.end());
            if events == expected {
                continue;
            }
            broken.push(match events {
                0 => format!("{subject} of {key} is in no stream"),
                _ => format!("{subject} of {key} is there {events} times, not {expected}"),
            });
        }
        let invented = stored.keys().filter(|key| !made.contains_key(*key));
        broken.extend(invented.map(|key| format!("{subject} of {key} has no row")));
    }
    Verdict::new(
        "every change was published, and nothing else",
        Counted(facts.events.len(), "event").to_string(),
        broken,
    )
}

/// How many events of a channel the rows say there are, by key.
fn changes(facts: &Facts, subject: Subjects) -> BTreeMap<&str, RangeInclusive<usize>> {
    let of_orders = |state: Option<OrderState>, times: RangeInclusive<usize>| {
        let wanted = facts
            .orders
            .iter()
            .filter(|order| state.is_none_or(|state| order.state == state));
        wanted
            .map(|order| (order.id.as_str(), times.clone()))
            .collect()
    };
    let of_payments = |wanted: fn(&Payment) -> bool| {
        let wanted = facts.payments.iter().filter(|payment| wanted(payment));
        wanted
            .map(|payment| (payment.order.as_str(), 1..=1))
            .collect()
    };
    match subject {
        Subjects::TicketCreated => {
            let ids = facts.tickets.iter().map(|ticket| ticket.id.as_str());
            ids.map(|id| (id, 1..=1)).collect()
        }
        Subjects::TicketUpdated => facts
            .tickets
            .iter()
            .map(|ticket| {
                let updates = usize::try_from(ticket.version - 1).unwrap_or_default();
                (ticket.id.as_str(), updates..=updates)
            })
            .collect(),
        Subjects::OrderCreated => of_orders(None, 1..=1),
        Subjects::OrderCancelled => of_orders(Some(OrderState::Cancelled), 1..=1),
        Subjects::OrderCompleted => of_orders(Some(OrderState::Complete), 1..=1),
        Subjects::PaymentCreated => of_payments(|payment| payment.charge.is_some()),
        Subjects::PaymentRefunded => of_payments(|payment| payment.refund.is_some()),
        // Scheduled: not every order's time has come.
        Subjects::ExpirationComplete => of_orders(None, 0..=1),
    }
}

fn outboxes_empty(facts: &Facts) -> Verdict {
    let broken = facts
        .unsent
        .iter()
        .filter(|(_, unsent)| **unsent > 0)
        .map(|(service, unsent)| format!("{service} has {unsent} unsent events"))
        .collect();
    Verdict::new(
        "outboxes empty",
        Counted(facts.unsent.len(), "outbox").to_string(),
        broken,
    )
}

/// Every group that the list names has a consumer on each of its streams, and has read everything.
fn consumers_caught_up(facts: &Facts) -> Verdict {
    let named: BTreeSet<_> = Subjects::ALL
        .iter()
        .flat_map(|subject| {
            let stream = subject.stream().as_str();
            let groups = subject.consumers().iter();
            groups.map(move |group| (group.as_str(), stream))
        })
        .collect();
    let found: BTreeSet<_> = facts
        .consumers
        .iter()
        .map(|consumer| (consumer.group.as_str(), consumer.stream.as_str()))
        .collect();
    let mut broken: Vec<_> = named
        .difference(&found)
        .map(|(group, stream)| format!("{group} has no consumer on {stream}"))
        .collect();
    let strangers = found.difference(&named);
    broken.extend(
        strangers.map(|(group, stream)| format!("{group} has a consumer on {stream}, and no line")),
    );
    let behind = facts.consumers.iter().filter(|one| !one.is_at_rest());
    broken.extend(behind.map(|consumer| {
        format!(
            "{} on {}: {} events not delivered, {} not acknowledged",
            consumer.group, consumer.stream, consumer.pending, consumer.unacknowledged
        )
    }));
    for (service, held) in &facts.held {
        if *held > 0 {
            broken.push(format!(
                "{service} holds {held} events whose predecessors did not come"
            ));
        }
    }
    Verdict::new(
        "consumers caught up",
        Counted(facts.consumers.len(), "consumer").to_string(),
        broken,
    )
}

fn no_dead_letters(facts: &Facts) -> Verdict {
    Verdict::new(
        "no dead letters",
        Counted(facts.events.len(), "event").to_string(),
        facts.dead_letters.clone(),
    )
}

/// The keys that several share.
fn shared<'f>(
    pairs: impl Iterator<Item = (&'f str, &'f str)>,
) -> impl Iterator<Item = (&'f str, Vec<&'f str>)> {
    let mut by_key: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (key, value) in pairs {
        by_key.entry(key).or_default().push(value);
    }
    by_key.into_iter().filter(|(_, values)| values.len() > 1)
}

fn by_id<T>(rows: &[T], id: impl Fn(&T) -> &String) -> BTreeMap<&str, &T> {
    rows.iter().map(|row| (id(row).as_str(), row)).collect()
}

/// Notes where two sides differ.
fn compare<T: Debug + PartialEq>(
    broken: &mut Vec<String>,
    what: &str,
    (one, ones): (&str, BTreeMap<&str, T>),
    (other, others): (&str, BTreeMap<&str, T>),
) {
    for (id, left) in &ones {
        match others.get(id) {
            Some(right) if left == right => {}
            Some(right) => {
                broken.push(format!(
                    "{what} {id} is {left:?} in {one}, {right:?} in {other}"
                ));
            }
            None => broken.push(format!("{what} {id} is in {one} and not in {other}")),
        }
    }
    for id in others.keys().filter(|id| !ones.contains_key(*id)) {
        broken.push(format!("{what} {id} is in {other} and not in {one}"));
    }
}

#[cfg(test)]
mod tests;
