//! Bad input on the wire: each consumer gives it up at once, with a reason, and goes on with what comes next.

use bytes::Bytes;
use common::Subjects::{
    ExpirationComplete, OrderCancelled, OrderCompleted, OrderCreated, PaymentCreated,
    PaymentRefunded, TicketCreated, TicketUpdated,
};
use common::events::{self, OrderId};
use common::testing::sample;
use common::{
    EXPIRATIONS, Event, ORDERS_SERVICE, PAYMENTS_SERVICE, QueueGroup, SubjectSet as _, Subjects,
    TICKETS_SERVICE,
};
use futures::future::join_all;
use integration_tests::services::{Side, Story, System};
use serde_json::{Value, json};

/// The most that the server takes in one message, in bytes: 1 MiB is its default.
const LIMIT: usize = 1024 * 1024;

/// A message that is no event of its channel.
struct Bad {
    what: &'static str,
    key: OrderId,
    ce_type: Option<Subjects>,
    payload: Bytes,
    /// Part of the reason that is written down.
    reason: &'static str,
}

impl Bad {
    /// All there is to say wrong on a channel.
    fn all(channel: Subjects) -> Vec<Self> {
        let nested = format!(r#"{{"specversion":{}"#, "[".repeat(100_000));
        let payloads: [(_, Bytes); 8] = [
            ("nothing", "".into()),
            ("no JSON", "nonsense".into()),
            ("no text", b"\xff\xfe\x00"[..].into()),
            ("JSON of no event", "[1,2,3]".into()),
            ("half of an event", half(&sample::example(channel)).into()),
            ("nesting without end", nested.into()),
            ("a megabyte", "x".repeat(1_000_000).into()),
            ("all that the server takes", "x".repeat(LIMIT).into()),
        ];
        let mut all: Vec<_> = payloads
            .into_iter()
            .map(|(what, payload)| Self::new(what, payload))
            .collect();
        let other = another(channel);
        let mut bad = Self::new("another event", "");
        bad.payload = about(bad.key, sample::example(other)).into();
        all.push(bad);
        let mut bad = Self::new("an event under the name of another", "");
        bad.payload = about(bad.key, sample::example(channel)).into();
        bad.ce_type = Some(other);
        bad.reason = "ce-type says";
        all.push(bad);
        let mut bad = Self::new("an event about another key", "");
        bad.payload = about(OrderId::new(), sample::example(channel)).into();
        bad.reason = "subject is about";
        all.push(bad);
        all
    }

    fn new(what: &'static str, payload: impl Into<Bytes>) -> Self {
        Self {
            what,
            key: OrderId::new(),
            ce_type: None,
            payload: payload.into(),
            reason: "payload is no",
        }
    }
}

fn half(event: &Value) -> String {
    let text = event.to_string();
    text[..text.len() / 2].to_owned()
}

/// An event that does not pass for one of the channel, though they have fields in common.
fn another(channel: Subjects) -> Subjects {
    match channel {
        TicketCreated | TicketUpdated => OrderCreated,
        OrderCreated => OrderCancelled,
        OrderCancelled | OrderCompleted | PaymentRefunded => PaymentCreated,
        ExpirationComplete => TicketCreated,
        PaymentCreated => PaymentRefunded,
    }
}

/// The same event about another key, as text.
fn about(key: OrderId, mut event: Value) -> String {
    for field in ["id", "orderId"] {
        if let Some(id) = event.get_mut(field) {
            *id = json!(key);
        }
    }
    event.to_string()
}

#[tokio::test]
async fn message_that_is_no_event_is_dead_lettered_by_each_group_and_the_next_is_handled() {
    let system = System::start().await;

    for &channel in Subjects::ALL {
        let bad = Bad::all(channel);
        join_all(bad.iter().map(|bad| check(&system, channel, bad))).await;
    }

    lives_on(&system).await;
}

/// Publishes the message, and looks for it among the dead letters of each group that listens to the channel.
async fn check(system: &System, channel: Subjects, bad: &Bad) {
    let (what, broker) = (bad.what, system.broker());
    let message = format!("{channel}.{}", bad.key);
    let sequence = broker
        .publish_bytes(&message, bad.ce_type, bad.payload.clone())
        .await;

    for &group in channel.consumers() {
        let letter = broker.dead_letter(group, &message).await;
        assert_eq!(
            letter.kind, "undecodable",
            "{what} on {channel}: {letter:?}"
        );
        assert_eq!(
            letter.attempts, "1",
            "{what} on {channel} can never succeed"
        );
        assert!(
            letter.reason.contains(bad.reason),
            "{what} on {channel}: {}",
            letter.reason
        );
        assert_eq!(
            letter.origin,
            (channel.stream().as_str().to_owned(), sequence.to_string())
        );
        if letter.body.is_none() {
            assert_eq!(
                letter.payload, bad.payload,
                "{what} on {channel} is kept as it was"
            );
        } else {
            // What is written down beside it does not fit under the server's limit any more.
            assert_eq!(letter.body.as_deref(), Some("in-stream"));
            assert_eq!(bad.payload.len(), LIMIT, "{what} on {channel}");
        }
    }
}

/// Every listener handles what comes after the bad messages.
async fn lives_on(system: &System) {
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;
    assert_eq!(bob.pays(order, "tok_visa").await.status, 201);
    system.until_story(order, &Story::complete()).await;

    let order = system.order_that_awaits_payment().await;
    system
        .broker()
        .publish(&events::ExpirationComplete { order_id: order })
        .await;
    system.broker().caught_up(EXPIRATIONS, ORDERS_SERVICE).await;
    system.gate().shut(Side::BehindTheBank);
    let (paid, ()) = tokio::join!(bob.pays(order, "tok_visa"), async {
        system.gate().somebody_waits().await;
        assert_eq!(bob.cancels(order).await.status, 204);
        let known = format!("SELECT status FROM payments.orders WHERE id = '{order}'");
        system
            .until_asked("payments-service knows", &known, &["cancelled"])
            .await;
        system.gate().open();
    });
    paid.assert_refused(409, None);
    system.until_story(order, &Story::refunded()).await;
    system.settled().await;
    assert_eq!(system.books().broken_laws().await, Vec::<String>::new());
}

/// Publishes the event, and looks for it among the dead letters of the group.
async fn check_rejected<E: Event>(system: &System, group: QueueGroup, event: &E, reason: &str) {
    system.broker().publish(event).await;

    let message = format!("{}.{}", E::SUBJECT, event.key());
    let letter = system.broker().dead_letter(group, &message).await;
    assert_eq!(letter.kind, "rejected", "{message}: {letter:?}");
    assert_eq!(letter.attempts, "1", "{message} can never succeed");
    assert!(
        letter.reason.contains(reason),
        "{message}: {}",
        letter.reason
    );
}

#[tokio::test]
async fn event_that_can_never_be_applied_is_rejected_by_its_listener_and_the_next_is_handled() {
    let system = System::start().await;
    let bob = system.user("bob");

    // Of what nobody knows, and whoever would make it known is the one who is asked.
    let (tickets, orders) = (TICKETS_SERVICE, ORDERS_SERVICE);
    let unknown_ticket = "there is no such ticket";
    check_rejected(&system, tickets, &sample::order_created(), unknown_ticket).await;
    let unknown_order = "there is no such order";
    check_rejected(&system, orders, &sample::payment_created(), unknown_order).await;
    check_rejected(&system, orders, &sample::payment_refunded(), unknown_order).await;
    check_rejected(
        &system,
        orders,
        &sample::expiration_complete(),
        unknown_order,
    )
    .await;

    // Of what has ended in another way.
    let order = system.order_that_awaits_payment().await;
    assert_eq!(bob.pays(order, "tok_visa").await.status, 201);
    system.until_story(order, &Story::complete()).await;
    let refund = events::PaymentRefunded {
        order_id: order,
        ..sample::payment_refunded()
    };
    check_rejected(&system, orders, &refund, "not cancelled").await;
    let payment = events::PaymentCreated {
        order_id: order,
        ..sample::payment_created()
    };
    check_rejected(&system, orders, &payment, "another payment").await;
    let cancelled = events::OrderCancelled {
        id: order,
        version: sample::version(3),
        ..sample::order_cancelled()
    };
    check_rejected(&system, PAYMENTS_SERVICE, &cancelled, "complete").await;
    let sold = bob.order(order).await["ticket"]["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let late = events::OrderCreated {
        ticket: events::PricedTicket {
            id: sold,
            price: sample::cents(2500),
        },
        ..sample::order_created()
    };
    system.broker().publish(&late).await;
    let completed = events::OrderCompleted {
        id: late.id,
        ticket: events::OrderedTicket { id: sold },
        ..sample::order_completed()
    };
    check_rejected(&system, tickets, &completed, "sold to order").await;

    system.until_story(order, &Story::complete()).await;
    lives_on(&system).await;
}

#[tokio::test]
async fn event_of_an_aggregate_that_may_still_come_waits_for_it_and_is_no_dead_letter() {
    let system = System::start().await;
    let (cancelled, completed) = (sample::order_cancelled(), sample::order_completed());
    let updated = sample::ticket_updated();

    system.broker().publish(&cancelled).await;
    system.broker().publish(&completed).await;
    system.broker().publish(&updated).await;

    let order_ends = [cancelled.id.to_string(), completed.id.to_string()];
    for (service, expected) in [
        ("tickets", &order_ends[..]),
        ("payments", &order_ends),
        ("orders", &[updated.id.to_string()]),
    ] {
        let held = format!("SELECT key FROM {service}.event_held ORDER BY key");
        let mut expected: Vec<_> = expected.iter().map(String::as_str).collect();
        expected.sort_unstable();
        system
            .until_asked("what came first waits", &held, &expected)
            .await;
    }
    // payments-service reads the newest version of a ticket, whatever came before.
    let title = format!(
        "SELECT title FROM payments.tickets WHERE id = '{}'",
        updated.id
    );
    system
        .until_asked("the title is known", &title, &[updated.title.as_str()])
        .await;
    let order = system.order_that_awaits_payment().await;
    assert_eq!(system.user("bob").pays(order, "tok_visa").await.status, 201);
    system.until_story(order, &Story::complete()).await;
    assert_eq!(system.broker().dead_letters().await, Vec::<String>::new());
}
