//! What each event says, against what the rows say.

use std::collections::BTreeMap;

use common::{SubjectSet as _, Subjects};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::named;
use crate::market::broker::Event;
use crate::market::facts::{Facts, Order, Payment, Ticket, TicketState};

/// Events whose headers, key or source are not those of what they tell of.
pub(super) fn misnamed(facts: &Facts) -> Vec<String> {
    let mut broken = Vec::new();
    for event in &facts.events {
        let (subject, key) = (event.subject, &event.key);
        let (source, id) = &event.identity;
        let (kind, of) = &event.named;
        let expected = format!("/{}", subject.producer());
        if id.is_empty() || *source != expected {
            broken.push(format!("{} should be from {expected}", named(event)));
        }
        if (kind.as_str(), of) != (subject.as_str(), key) {
            broken.push(format!("{} says that it is {kind} of {of}", named(event)));
        }
        if event.payload[key_field(subject)] != json!(key) {
            let about = &event.payload[key_field(subject)];
            broken.push(format!("{} tells of {about}", named(event)));
        }
    }
    broken
}

fn key_field(subject: Subjects) -> &'static str {
    match subject {
        Subjects::TicketCreated
        | Subjects::TicketUpdated
        | Subjects::OrderCreated
        | Subjects::OrderCancelled
        | Subjects::OrderCompleted => "id",
        Subjects::ExpirationComplete | Subjects::PaymentCreated | Subjects::PaymentRefunded => {
            "orderId"
        }
    }
}

/// Events that tell something else than their rows have. Of a ticket, the last one counts: the others tell of a past
/// that no row has.
pub(super) fn untrue(facts: &Facts) -> Vec<String> {
    let rows = Rows::of(facts);
    let mut broken = Vec::new();
    for event in &facts.events {
        for (field, expected) in rows.told_by(event) {
            let told = event.payload.pointer(field).unwrap_or(&Value::Null);
            if !is_same(told, &expected) {
                broken.push(format!(
                    "{} says {field} {told}, and its row {expected}",
                    named(event)
                ));
            }
        }
    }
    broken
}

/// One moment can be written in several ways.
fn is_same(told: &Value, expected: &Value) -> bool {
    let moment = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
    told == expected || moment(told).is_some_and(|told| moment(expected) == Some(told))
}

struct Rows<'f> {
    tickets: BTreeMap<&'f str, &'f Ticket>,
    orders: BTreeMap<&'f str, &'f Order>,
    payments: BTreeMap<&'f str, &'f Payment>,
}

impl<'f> Rows<'f> {
    fn of(facts: &'f Facts) -> Self {
        let tickets = facts.tickets.iter().map(|one| (one.id.as_str(), one));
        let orders = facts.orders.iter().map(|one| (one.id.as_str(), one));
        let payments = facts.payments.iter().map(|one| (one.order.as_str(), one));
        Self {
            tickets: tickets.collect(),
            orders: orders.collect(),
            payments: payments.collect(),
        }
    }

    /// What the event must say. Nothing if there is no row, which breaks other invariants.
    fn told_by(&self, event: &Event) -> Vec<(&'static str, Value)> {
        let key = event.key.as_str();
        let told = match event.subject {
            Subjects::TicketCreated | Subjects::TicketUpdated => {
                let ticket = self.tickets.get(key);
                let last = ticket.filter(|ticket| event.version == Some(ticket.version));
                last.map(|ticket| told_of_ticket(ticket))
            }
            Subjects::OrderCreated => self.orders.get(key).map(|order| told_of_order(order)),
            Subjects::OrderCancelled | Subjects::OrderCompleted => {
                let order = self.orders.get(key);
                order.map(|order| vec![("/ticket/id", json!(order.ticket))])
            }
            Subjects::PaymentCreated => self.payments.get(key).map(|payment| {
                vec![
                    ("/id", json!(payment.id)),
                    ("/amount", json!(payment.amount)),
                    ("/chargeId", json!(payment.charge)),
                ]
            }),
            Subjects::PaymentRefunded => self.payments.get(key).map(|payment| {
                vec![
                    ("/id", json!(payment.id)),
                    ("/amount", json!(payment.amount)),
                    ("/refundId", json!(payment.refund)),
                ]
            }),
            Subjects::ExpirationComplete => None,
        };
        told.unwrap_or_default()
    }
}

fn told_of_ticket(ticket: &Ticket) -> Vec<(&'static str, Value)> {
    let holder = match &ticket.state {
        TicketState::ForSale => None,
        TicketState::Reserved(order) | TicketState::Sold(order) => Some(order),
    };
    vec![
        ("/title", json!(ticket.title)),
        ("/price", json!(ticket.price)),
        ("/userId", json!(ticket.seller)),
        ("/orderId", json!(holder)),
    ]
}

fn told_of_order(order: &Order) -> Vec<(&'static str, Value)> {
    vec![
        ("/userId", json!(order.user)),
        ("/ticket/id", json!(order.ticket)),
        ("/ticket/price", json!(order.price)),
        ("/expiresAt", json!(order.expires_at.to_string())),
    ]
}
