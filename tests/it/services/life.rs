//! A ticket's life: sold, or given back when its time is over.

use std::time::Duration;

use common::Subjects::ExpirationComplete;
use common::{ORDERS_SERVICE, QueueGroup, TICKETS_SERVICE};
use integration_tests::services::{Story, System, User, until, until_within};

#[tokio::test]
async fn ticket_that_is_paid_is_sold_and_all_three_services_agree() {
    let system = System::start().await;
    let (alice, bob) = (system.user("alice"), system.user("bob"));

    let ticket = alice.sells("Concert, row 12", 2500).await;
    assert_eq!(
        listed(&bob, TICKETS_SERVICE, "/api/tickets").await,
        [ticket.to_string()]
    );
    let order = bob.orders_once_known(ticket).await;
    system.until_story(order, &Story::awaiting_payment()).await;
    assert_eq!(listed(&bob, TICKETS_SERVICE, "/api/tickets").await, [""; 0]);
    assert_eq!(bob.order(order).await["status"], "awaiting:payment");
    assert_eq!(bob.ticket(ticket).await["status"], "reserved");
    assert_eq!(
        listed(&bob, ORDERS_SERVICE, "/api/orders").await,
        [order.to_string()]
    );
    assert_eq!(listed(&alice, ORDERS_SERVICE, "/api/orders").await, [""; 0]);

    let paid = bob.pays(order, "tok_visa").await;
    assert_eq!(paid.status, 201, "{}", paid.text);

    system.until_story(order, &Story::complete()).await;
    assert_eq!(bob.order(order).await["status"], "complete");
    let sold = bob.ticket(ticket).await;
    assert_eq!(sold["status"], "sold");
    assert_eq!(sold["orderId"], order.to_string());
    system.stop().await;
}

/// The ids of a list that a service shows.
async fn listed(user: &User<'_>, service: QueueGroup, path: &str) -> Vec<String> {
    let reply = user.get(service, path).await;
    let items = reply.json.as_array().unwrap().iter();
    items
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn order_that_nobody_pays_expires_and_its_ticket_is_for_sale_again() {
    let system = System::builder()
        .order_ttl(Duration::from_secs(1))
        .start()
        .await;
    let (alice, bob, carol) = (
        system.user("alice"),
        system.user("bob"),
        system.user("carol"),
    );
    let ticket = alice.sells("Concert", 2500).await;

    let order = bob.orders_once_known(ticket).await;

    system.until_story(order, &Story::cancelled()).await;
    assert_eq!(bob.ticket(ticket).await["status"], "for sale");
    let fired = system.broker().events(ExpirationComplete, order).await;
    assert_eq!(fired.len(), 1, "the schedule has done it, not the sweep");
    bob.pays(order, "tok_visa").await.assert_refused(409, None);
    let order = carol.orders(ticket).await;
    system.until_story(order, &Story::cancelled()).await;
    system.stop().await;
}

// Guard: orders-service sweeps for overdue orders: a schedule is never the truth.
#[tokio::test]
async fn order_whose_schedule_is_lost_expires_by_the_sweep() {
    let system = System::builder()
        .order_ttl(Duration::from_secs(3))
        .start()
        .await;
    let (alice, bob) = (system.user("alice"), system.user("bob"));
    let ticket = alice.sells("Concert", 2500).await;
    let order = bob.orders_once_known(ticket).await;

    let lost = system
        .broker()
        .lose_schedule(ExpirationComplete, order)
        .await;

    assert!(lost.header("Nats-Schedule").is_some(), "{lost:?}");
    // It looks every five seconds for what was due half a minute ago.
    let grace = Duration::from_secs(3 + 30 + 5 + 10);
    until_within(grace, "the sweep has cancelled the order", async || {
        let status = bob.order(order).await["status"].clone();
        if status == "cancelled" {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
    system.until_story(order, &Story::cancelled()).await;
    let fired = system.broker().events(ExpirationComplete, order).await;
    assert_eq!(fired.len(), 0, "no schedule has done it");
    system.stop().await;
}

#[tokio::test]
async fn paid_order_outlives_its_time() {
    let system = System::builder()
        .order_ttl(Duration::from_secs(3))
        .start()
        .await;
    let (alice, bob) = (system.user("alice"), system.user("bob"));
    let ticket = alice.sells("Concert", 2500).await;
    let order = bob.orders_once_known(ticket).await;
    system.until_story(order, &Story::awaiting_payment()).await;

    assert_eq!(bob.pays(order, "tok_visa").await.status, 201);

    until("the order's time is over", async || {
        let fired = system.broker().events(ExpirationComplete, order).await;
        fired.into_iter().next().ok_or("nothing fires")
    })
    .await;
    system.settled().await;
    system.until_story(order, &Story::complete()).await;
    system.stop().await;
}

#[tokio::test]
async fn routes_take_a_repeated_request_for_what_it_is() {
    let system = System::shared().await;
    let (alice, bob) = (system.user("alice"), system.user("bob"));
    let ticket = alice.sells("Concert", 2500).await;
    let order = bob.orders_once_known(ticket).await;

    bob.tries_to_order(ticket).await.assert_refused(409, None);
    assert_eq!(bob.cancels(order).await.status, 204);
    assert_eq!(
        bob.cancels(order).await.status,
        204,
        "cancelled is cancelled"
    );
    system.until_story(order, &Story::cancelled()).await;

    let order = bob.orders(ticket).await;
    system.until_story(order, &Story::awaiting_payment()).await;
    assert_eq!(bob.pays(order, "tok_visa").await.status, 201);
    bob.pays(order, "tok_visa").await.assert_refused(409, None);
    system.until_story(order, &Story::complete()).await;
    bob.cancels(order).await.assert_refused(409, None);
    alice
        .changes(ticket, "Opera", 1)
        .await
        .assert_refused(409, None);
    bob.tries_to_order(ticket).await.assert_refused(409, None);
}
