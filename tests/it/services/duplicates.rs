//! Every event delivered twice equals once.

use std::time::Duration;

use common::{ORDERS_SERVICE, PAYMENTS, SubjectSet as _, Subjects};
use integration_tests::services::{Copy, Story, System};

/// All that services and bank remember of their own.
const TABLES: [&str; 9] = [
    "tickets.tickets",
    "tickets.reservations",
    "orders.tickets",
    "orders.orders",
    "payments.orders",
    "payments.tickets",
    "payments.payments",
    "bank.requests",
    "bank.refunds",
];

async fn check_delivered_again(copy: Copy) {
    let system = System::start().await;
    live_through_everything(&system).await;
    let rows = system.books().dump(&TABLES).await;
    for end in [
        "sold",
        "complete",
        "cancelled",
        "charged",
        "refunded",
        "Opera",
    ] {
        let end = format!("'{end}'");
        assert!(
            rows.iter().any(|row| row.contains(&end)),
            "nothing is {end}: {rows:?}"
        );
    }

    for &channel in Subjects::ALL {
        let events = system.broker().events(channel, "*").await;
        assert!(!events.is_empty(), "nobody has published {channel}");
        // The latest first: what comes again does not come in order either.
        for event in events.iter().rev() {
            system.broker().put(event, copy).await;
        }
        system.settled().await;
        let again = system.broker().events(channel, "*").await;
        assert_eq!(
            again.len(),
            2 * events.len(),
            "{channel} has its copies and nothing else"
        );
    }

    assert_eq!(system.books().dump(&TABLES).await, rows);
    system.stop().await;
}

#[tokio::test]
async fn every_event_delivered_again_changes_nothing() {
    check_delivered_again(Copy::Same).await;
}

#[tokio::test]
async fn every_event_told_again_without_an_id_changes_nothing() {
    check_delivered_again(Copy::Bare).await;
}

/// A ticket that is changed and sold, one whose order is refunded, and one whose order expires: every event there is.
async fn live_through_everything(system: &System) {
    let (alice, bob) = (system.user("alice"), system.user("bob"));
    let ticket = system.ticket_on_sale().await;
    assert_eq!(alice.changes(ticket, "Opera", 2500).await.status, 200);
    system.settled().await;
    let sold = bob.orders(ticket).await;
    system.until_story(sold, &Story::awaiting_payment()).await;
    assert_eq!(bob.pays(sold, "tok_visa").await.status, 201);

    let refunded = system.order_that_awaits_payment().await;
    system.broker().pause(PAYMENTS, ORDERS_SERVICE).await;
    assert_eq!(bob.pays(refunded, "tok_visa").await.status, 201);
    assert_eq!(bob.cancels(refunded).await.status, 204);
    system.broker().resume(PAYMENTS, ORDERS_SERVICE).await;

    system.stop_service(ORDERS_SERVICE).await;
    system.start_orders_service(Duration::from_secs(1)).await;
    let expired = bob.orders(system.ticket_on_sale().await).await;

    system.until_story(sold, &Story::complete()).await;
    system.until_story(refunded, &Story::refunded()).await;
    system.until_story(expired, &Story::cancelled()).await;
    system.settled().await;
}
