//! Every kind of damage is found: a sound system, and one thing wrong at a time.

use common::{ORDERS_SERVICE, TICKETS_SERVICE};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::market::facts::{
    Handled, Order, OrderState, Payment, PaymentState, Ticket, TicketState,
};

/// The id of `order:created`, which makes tickets-service reserve the ticket.
const ORDERED: &str = "ordered";
/// The id of the `ticket:updated` that it publishes for that.
const RESERVED: &str = "reserved";

fn event(subject: Subjects, key: &str, version: Option<i64>, id: &str) -> Event {
    let source = match subject {
        Subjects::TicketCreated | Subjects::TicketUpdated => "/tickets-service",
        Subjects::PaymentCreated | Subjects::PaymentRefunded => "/payments-service",
        _ => "/orders-service",
    };
    Event {
        payload: payload(subject, key, version),
        subject,
        key: key.to_owned(),
        named: (subject.to_string(), key.to_owned()),
        identity: (source.to_owned(), id.to_owned()),
        cause: None,
        version,
        written: None,
        stored: Timestamp::UNIX_EPOCH,
    }
}

/// What an event of the sound system says.
fn payload(subject: Subjects, key: &str, version: Option<i64>) -> Value {
    match subject {
        Subjects::TicketCreated | Subjects::TicketUpdated => {
            let order = (version > Some(1)).then_some("order");
            json!({ "id": key, "title": "Blues", "price": 500, "userId": "ann", "orderId": order })
        }
        Subjects::OrderCreated => json!({
            "id": key, "userId": "bob", "expiresAt": "1970-01-01T00:00:00.000Z",
            "ticket": { "id": "ticket", "price": 500 },
        }),
        Subjects::OrderCancelled | Subjects::OrderCompleted => {
            json!({ "id": key, "ticket": { "id": "ticket" } })
        }
        Subjects::ExpirationComplete => json!({ "orderId": key }),
        Subjects::PaymentCreated => {
            json!({ "id": "payment", "orderId": key, "amount": 500, "chargeId": "ch_1" })
        }
        Subjects::PaymentRefunded => {
            json!({ "id": "payment", "orderId": key, "amount": 500, "refundId": "re_1" })
        }
    }
}

/// One ticket that was listed, reserved and sold, by one order that was paid.
fn sound() -> Facts {
    let mut reserved = event(Subjects::TicketUpdated, "ticket", Some(2), RESERVED);
    reserved.cause = Some(ORDERED.to_owned());
    let mut sold = event(Subjects::TicketUpdated, "ticket", Some(3), "sold");
    sold.cause = Some("completed".to_owned());
    let events = vec![
        event(Subjects::TicketCreated, "ticket", Some(1), "listed"),
        reserved,
        sold,
        event(Subjects::OrderCreated, "order", Some(1), ORDERED),
        event(Subjects::OrderCompleted, "order", Some(2), "completed"),
        event(Subjects::PaymentCreated, "order", None, "paid"),
        event(Subjects::ExpirationComplete, "order", None, "expired"),
    ];
    let handled = events.iter().flat_map(|event| {
        let groups = event.subject.consumers().iter();
        groups.map(|group| Handled {
            group: group.to_string(),
            identity: event.identity.clone(),
            at: Timestamp::UNIX_EPOCH,
        })
    });
    let guards = [
        (ORDERS_SERVICE, "TICKETS", "ticket", 3),
        (PAYMENTS_SERVICE, "TICKETS", "ticket", 3),
        (TICKETS_SERVICE, "ORDERS", "order", 2),
        (PAYMENTS_SERVICE, "ORDERS", "order", 2),
    ];
    Facts {
        tickets: vec![Ticket {
            id: "ticket".to_owned(),
            version: 3,
            title: "Blues".to_owned(),
            price: 500,
            seller: "ann".to_owned(),
            state: TicketState::Sold("order".to_owned()),
        }],
        orders: vec![Order {
            id: "order".to_owned(),
            ticket: "ticket".to_owned(),
            user: "bob".to_owned(),
            price: 500,
            state: OrderState::Complete,
            expires_at: Timestamp::UNIX_EPOCH,
        }],
        payments: vec![Payment {
            id: "payment".to_owned(),
            order: "order".to_owned(),
            amount: 500,
            state: PaymentState::Charged,
            charge: Some("ch_1".to_owned()),
            refund: None,
        }],
        order_versions: BTreeMap::from([("order".to_owned(), 2)]),
        guards: guards
            .into_iter()
            .map(|(group, stream, key, version)| (guard(group, stream, key), version))
            .collect(),
        handled: handled.collect(),
        events,
        ..Facts::default()
    }
}

fn guard(group: QueueGroup, stream: &str, key: &str) -> Guarded {
    Guarded {
        group: group.to_string(),
        stream: stream.to_owned(),
        key: key.to_owned(),
    }
}

/// Checks that the damage is found, by these invariants and no others, and how many events it says are lost and
/// applied twice.
#[track_caller]
fn check(damage: impl FnOnce(&mut Facts), broken: &[&str], lost: usize, applied_twice: usize) {
    let mut facts = sound();
    damage(&mut facts);
    let found = Reconciliation::of(&facts);
    let names: Vec<_> = found
        .verdicts
        .iter()
        .filter(|verdict| !verdict.ok)
        .map(|verdict| verdict.invariant)
        .collect();
    assert_eq!(names, broken, "{:#?}", found.verdicts);
    assert_eq!((found.lost, found.applied_twice), (lost, applied_twice));
}

const VERSIONS: &str = "every version of every ticket and order is in its stream";
const NO_OTHERS: &str = "no version is in its stream that no row has, or twice";
const IN_ORDER: &str = "versions are in their stream in order";
const TOLD: &str = "every payment, refund and end of an order's time is in its stream";
const TOLD_ONCE: &str =
    "no payment, refund or end of an order's time is in its stream twice, or without a row";
const EVENTS_ONLY: &str = "nothing but events is in the streams";
const NAMED: &str = "every event is named and keyed by what it tells of";
const TRUE: &str = "every event tells what its row has";
const ONCE: &str = "no event is in its stream twice";
const APPLIED: &str = "every event was applied by all who read it";
const APPLIED_ONCE: &str = "no event was applied twice";
const FROM_STREAMS: &str = "nothing was applied that is in no stream";
const CAUGHT_UP: &str = "all who read a ticket or order have come to its last version";

#[test]
fn sound_system_passes() {
    check(|_| {}, &[], 0, 0);
}

#[test]
fn event_that_never_reached_its_stream_is_lost() {
    let damage = |facts: &mut Facts| {
        facts.events.retain(|event| event.identity.1 != RESERVED);
        facts
            .handled
            .retain(|handled| handled.identity.1 != RESERVED);
    };
    check(damage, &[VERSIONS], 1, 0);
}

#[test]
fn event_that_the_server_lost_afterwards_is_lost() {
    let damage = |facts: &mut Facts| facts.events.retain(|event| event.identity.1 != RESERVED);
    check(damage, &[VERSIONS, FROM_STREAMS], 1, 0);
}

#[test]
fn event_that_a_group_has_not_applied_is_lost() {
    let damage = |facts: &mut Facts| {
        facts.handled.retain(|handled| {
            handled.identity.1 != "paid" || handled.group != ORDERS_SERVICE.as_str()
        });
    };
    check(damage, &[APPLIED], 1, 0);
}

#[test]
fn event_that_a_newer_one_has_overtaken_is_not_lost_where_the_newest_counts() {
    let damage = |facts: &mut Facts| {
        facts.handled.retain(|handled| {
            handled.identity.1 != RESERVED || handled.group != PAYMENTS_SERVICE.as_str()
        });
    };
    check(damage, &[], 0, 0);
}

#[test]
fn newest_event_is_lost_if_it_is_not_applied_where_the_newest_counts() {
    let damage = |facts: &mut Facts| {
        facts.handled.retain(|handled| {
            handled.identity.1 != "sold" || handled.group != PAYMENTS_SERVICE.as_str()
        });
    };
    check(damage, &[APPLIED], 1, 0);
}

#[test]
fn group_that_is_behind_is_found() {
    let damage = |facts: &mut Facts| {
        let behind = guard(ORDERS_SERVICE, "TICKETS", "ticket");
        facts.guards.insert(behind, 2);
    };
    check(damage, &[CAUGHT_UP], 0, 0);
}

#[test]
fn group_that_has_never_heard_of_a_key_is_found() {
    let damage = |facts: &mut Facts| {
        facts
            .guards
            .remove(&guard(PAYMENTS_SERVICE, "ORDERS", "order"));
    };
    check(damage, &[CAUGHT_UP], 0, 0);
}

#[test]
fn event_that_is_stored_twice_is_found() {
    let damage = |facts: &mut Facts| facts.events.push(facts.events[0].clone());
    check(damage, &[ONCE], 0, 0);
}

#[test]
fn two_events_of_one_version_are_found() {
    let damage = |facts: &mut Facts| {
        let mut other = facts.events[1].clone();
        other.identity.1 = "another id".to_owned();
        other.cause = None;
        facts.events.push(other);
    };
    check(damage, &[NO_OTHERS, APPLIED], 1, 0);
}

#[test]
fn version_that_the_row_does_not_have_is_found() {
    let damage = |facts: &mut Facts| facts.tickets[0].version = 2;
    check(damage, &[NO_OTHERS, CAUGHT_UP], 0, 0);
}

#[test]
fn event_whose_effect_is_there_twice_was_applied_twice() {
    let damage = |facts: &mut Facts| {
        // Reserved twice by one order:created: the second time under the next version, and everything else is right.
        facts.events[2].cause = Some(ORDERED.to_owned());
    };
    check(damage, &[APPLIED_ONCE], 0, 1);
}

#[test]
fn note_of_an_event_that_nobody_published_is_found() {
    let damage = |facts: &mut Facts| {
        facts.handled.push(Handled {
            group: ORDERS_SERVICE.to_string(),
            identity: ("/tickets-service".to_owned(), "nobody's".to_owned()),
            at: Timestamp::UNIX_EPOCH,
        });
    };
    check(damage, &[FROM_STREAMS], 0, 0);
}

/// Forgets an event, and that anybody has applied it.
fn forget(facts: &mut Facts, id: &str) {
    facts.events.retain(|event| event.identity.1 != id);
    facts.handled.retain(|handled| handled.identity.1 != id);
}

#[test]
fn payment_that_nobody_was_told_of_is_lost() {
    check(|facts| forget(facts, "paid"), &[TOLD], 1, 0);
}

#[test]
fn order_whose_time_never_ended_is_lost() {
    check(|facts| forget(facts, "expired"), &[TOLD], 1, 0);
}

#[test]
fn refund_that_nobody_was_told_of_is_lost() {
    let damage = |facts: &mut Facts| facts.payments[0].refund = Some("re_1".to_owned());
    check(damage, &[TOLD], 1, 0);
}

#[test]
fn payment_that_is_told_twice_is_found() {
    let damage = |facts: &mut Facts| {
        let mut other = event(Subjects::PaymentCreated, "order", None, "paid again");
        other.cause = Some("another".to_owned());
        facts.handled.push(Handled {
            group: ORDERS_SERVICE.to_string(),
            identity: other.identity.clone(),
            at: Timestamp::UNIX_EPOCH,
        });
        facts.events.push(other);
    };
    check(damage, &[TOLD_ONCE], 0, 0);
}

#[test]
fn payment_without_a_row_is_found() {
    check(|facts| facts.payments.clear(), &[TOLD_ONCE], 0, 0);
}

#[test]
fn versions_that_changed_places_are_found() {
    check(|facts| facts.events.swap(0, 1), &[IN_ORDER], 0, 0);
}

#[test]
fn schedule_that_never_fired_is_found() {
    let damage = |facts: &mut Facts| {
        facts
            .others
            .push("schedule.expiration:complete.another".to_owned());
    };
    check(damage, &[EVENTS_ONLY], 0, 0);
}

#[test]
fn schedule_that_a_restarted_server_has_again_is_let_lie() {
    let damage = |facts: &mut Facts| {
        facts
            .others
            .push("schedule.expiration:complete.order".to_owned());
    };
    check(damage, &[], 0, 0);
}

#[test]
fn event_that_is_named_by_something_else_is_found() {
    #[track_caller]
    fn check_named(damage: fn(&mut Event)) {
        check(|facts| damage(&mut facts.events[5]), &[NAMED], 0, 0);
    }
    check_named(|event| event.named.0 = "ticket:created".to_owned());
    check_named(|event| event.named.1 = "another".to_owned());
    check_named(|event| event.payload["orderId"] = json!("another"));
}

#[test]
fn event_from_somebody_else_is_found() {
    let damage = |facts: &mut Facts| {
        for identity in facts
            .events
            .iter_mut()
            .map(|event| &mut event.identity)
            .chain(
                facts
                    .handled
                    .iter_mut()
                    .map(|handled| &mut handled.identity),
            )
            .filter(|identity| identity.1 == "paid")
        {
            identity.0 = "/orders-service".to_owned();
        }
    };
    check(damage, &[NAMED], 0, 0);
}

#[test]
fn event_that_says_what_is_not_so_is_found() {
    #[track_caller]
    fn check_told(id: &str, field: &str, value: Value) {
        let damage = |facts: &mut Facts| {
            let mut events = facts.events.iter_mut();
            let event = events.find(|event| event.identity.1 == id).unwrap();
            *event.payload.pointer_mut(field).unwrap() = value;
        };
        check(damage, &[TRUE], 0, 0);
    }
    check_told("sold", "/title", json!("Chess"));
    check_told("sold", "/price", json!(501));
    check_told("sold", "/userId", json!("eve"));
    check_told("sold", "/orderId", Value::Null);
    check_told(ORDERED, "/userId", json!("eve"));
    check_told(ORDERED, "/ticket/id", json!("another"));
    check_told(ORDERED, "/ticket/price", json!(501));
    check_told(ORDERED, "/expiresAt", json!("1970-01-01T00:00:01Z"));
    check_told("completed", "/ticket/id", json!("another"));
    check_told("paid", "/id", json!("another"));
    check_told("paid", "/amount", json!(501));
    check_told("paid", "/chargeId", json!("ch_2"));
}
