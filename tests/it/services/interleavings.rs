//! Two things at once, and events that come early, late or in another order.

use common::Subjects::{OrderCancelled, OrderCreated, TicketUpdated};
use common::events::OrderId;
use common::{ORDERS, ORDERS_SERVICE, PAYMENTS_SERVICE, TICKETS, TICKETS_SERVICE};
use futures::future::join_all;
use integration_tests::services::{Copy, StoredMessage, Story, System};

#[tokio::test]
async fn of_two_buyers_at_once_one_gets_the_ticket() {
    let system = System::shared().await;
    let (bob, carol) = (system.user("bob"), system.user("carol"));
    for round in 0..10 {
        let ticket = system.ticket_on_sale().await;

        let (first, second) =
            tokio::join!(bob.tries_to_order(ticket), carol.tries_to_order(ticket));

        let (won, lost) = if first.status == 201 {
            (first, second)
        } else {
            (second, first)
        };
        assert_eq!(won.status, 201, "round {round}: {}", won.text);
        lost.assert_refused(409, None);
        let order = won.json["id"].as_str().unwrap().parse().unwrap();
        system.until_story(order, &Story::awaiting_payment()).await;
    }
}

#[tokio::test]
async fn ticket_that_orders_service_has_not_heard_of_can_be_ordered_as_soon_as_it_has() {
    let system = System::start().await;
    let (alice, bob) = (system.user("alice"), system.user("bob"));
    system.broker().pause(TICKETS, ORDERS_SERVICE).await;
    let ticket = alice.sells("Concert", 2500).await;

    bob.tries_to_order(ticket).await.assert_refused(404, None);

    system.broker().resume(TICKETS, ORDERS_SERVICE).await;
    let order = bob.orders_once_known(ticket).await;
    system.until_story(order, &Story::awaiting_payment()).await;
    system.stop().await;
}

#[tokio::test]
async fn order_that_payments_service_has_not_heard_of_can_be_paid_as_soon_as_it_has() {
    let system = System::start().await;
    let bob = system.user("bob");
    let ticket = system.ticket_on_sale().await;
    system.broker().pause(ORDERS, PAYMENTS_SERVICE).await;
    let order = bob.orders(ticket).await;

    bob.pays(order, "tok_visa").await.assert_refused(404, None);

    system.broker().resume(ORDERS, PAYMENTS_SERVICE).await;
    system.until_story(order, &Story::awaiting_payment()).await;
    assert_eq!(bob.pays(order, "tok_visa").await.status, 201);
    system.until_story(order, &Story::complete()).await;
    system.stop().await;
}

// Guard: the version guard holds what is early.
#[tokio::test]
async fn version_that_is_missing_holds_up_the_later_ones_until_it_arrives() {
    let system = System::start().await;
    let alice = system.user("alice");
    system.broker().pause(TICKETS, ORDERS_SERVICE).await;
    let ticket = alice.sells("Concert", 1000).await;
    assert_eq!(alice.changes(ticket, "Opera", 2000).await.status, 200);
    let second = system.broker().take(TicketUpdated, ticket).await;
    assert_eq!(alice.changes(ticket, "Musical", 3000).await.status, 200);
    assert_eq!(alice.changes(ticket, "Circus", 4000).await.status, 200);

    system.broker().resume(TICKETS, ORDERS_SERVICE).await;
    let held = "SELECT channel || ' ' || version FROM orders.event_held ORDER BY version";
    system
        .until_asked(
            "the later versions are held",
            held,
            &["ticket:updated 3", "ticket:updated 4"],
        )
        .await;
    let known = format!("SELECT title || ' ' || version FROM orders.tickets WHERE id = '{ticket}'");
    assert_eq!(system.books().ask(&known).await, ["Concert 1"]);

    system.broker().put(&second, Copy::Same).await;

    system
        .until_asked("all versions are applied", &known, &["Circus 4"])
        .await;
    system.stop().await;
}

// Guard: the version guard holds what is early.
#[tokio::test]
async fn cancellation_that_overtakes_its_order_is_held_and_then_applied() {
    let system = System::start().await;
    let bob = system.user("bob");
    let ticket = system.ticket_on_sale().await;
    for service in [TICKETS_SERVICE, PAYMENTS_SERVICE] {
        system.broker().pause(ORDERS, service).await;
    }
    let order = bob.orders(ticket).await;
    let created = system.broker().take(OrderCreated, order).await;
    assert_eq!(bob.cancels(order).await.status, 204);

    for service in [TICKETS_SERVICE, PAYMENTS_SERVICE] {
        system.broker().resume(ORDERS, service).await;
    }
    for held in ["tickets.event_held", "payments.event_held"] {
        let held = format!("SELECT channel FROM {held} WHERE key = '{order}'");
        system
            .until_asked("the cancellation is held", &held, &["order:cancelled"])
            .await;
    }
    assert_eq!(bob.ticket(ticket).await["status"], "for sale");
    bob.pays(order, "tok_visa").await.assert_refused(404, None);

    system.broker().put(&created, Copy::Same).await;

    system.until_story(order, &Story::cancelled()).await;
    bob.pays(order, "tok_visa").await.assert_refused(409, None);
    system.stop().await;
}

/// Bob orders a ticket and gives it up, and carol orders it at once; then she may give it up too. What tickets-service
/// and payments-service are told of it is in the hands of the test.
struct Turnover {
    bob: OrderId,
    carol: OrderId,
    events: Vec<StoredMessage>,
}

impl Turnover {
    async fn of(system: &System, carol_keeps_it: Keeps) -> Self {
        let (bob, carol) = (system.user("bob"), system.user("carol"));
        let ticket = system.ticket_on_sale().await;
        let first = bob.orders(ticket).await;
        assert_eq!(bob.cancels(first).await.status, 204);
        let second = carol.orders(ticket).await;
        let broker = system.broker();
        let mut events = vec![
            broker.take(OrderCreated, first).await,
            broker.take(OrderCancelled, first).await,
            broker.take(OrderCreated, second).await,
        ];
        if carol_keeps_it == Keeps::No {
            assert_eq!(carol.cancels(second).await.status, 204);
            events.push(broker.take(OrderCancelled, second).await);
        }
        Self {
            bob: first,
            carol: second,
            events,
        }
    }

    /// Delivers the events in this order, each when the one before it is applied or held.
    async fn deliver(&self, system: &System, order: &[usize]) {
        for &index in order {
            let event = &self.events[index];
            system.broker().put(event, Copy::Same).await;
            let id = event.header("ce-id").unwrap();
            for service in ["tickets", "payments"] {
                let taken_in = format!(
                    "SELECT event_id FROM {service}.event_inbox WHERE event_id = '{id}'
                     UNION SELECT '{id}' FROM {service}.event_held WHERE headers LIKE '%{id}%'"
                );
                let what = format!("{service} has taken in {} of {order:?}", event.subject);
                system.until_asked(&what, &taken_in, &[id]).await;
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Yes,
    No,
}

async fn check_every_delivery_order(keeps: Keeps, events: usize, end: Story) {
    let system = System::start().await;
    for service in [TICKETS_SERVICE, PAYMENTS_SERVICE] {
        system.broker().pause(ORDERS, service).await;
    }
    let orders = permutations(events);
    let turnovers = join_all(orders.iter().map(|_| Turnover::of(&system, keeps))).await;
    for service in [TICKETS_SERVICE, PAYMENTS_SERVICE] {
        system.broker().resume(ORDERS, service).await;
    }

    join_all(
        turnovers
            .iter()
            .zip(&orders)
            .map(async |(turnover, order)| {
                turnover.deliver(&system, order).await;
                system.until_story(turnover.bob, &Story::cancelled()).await;
                system.until_story(turnover.carol, &end).await;
            }),
    )
    .await;

    system.stop().await;
}

#[tokio::test]
async fn ticket_given_up_and_ordered_again_is_the_second_buyers_in_every_delivery_order() {
    check_every_delivery_order(Keeps::Yes, 3, Story::awaiting_payment()).await;
}

#[tokio::test]
async fn ticket_given_up_twice_is_for_sale_in_every_delivery_order() {
    check_every_delivery_order(Keeps::No, 4, Story::cancelled()).await;
}

/// Every order of the numbers below `length`.
fn permutations(length: usize) -> Vec<Vec<usize>> {
    (0..length).fold(vec![Vec::new()], |shorter, next| {
        let insert = |order: &Vec<usize>, at| {
            let mut longer = order.clone();
            longer.insert(at, next);
            longer
        };
        shorter
            .iter()
            .flat_map(|order| (0..=order.len()).map(move |at| insert(order, at)))
            .collect()
    })
}
