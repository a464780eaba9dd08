use common::events::{
    OrderCancelled, OrderCompleted, OrderCreated, OrderId, OrderedTicket, PricedTicket, TicketId,
};
use common::testing::{Envelope, Outcome, deliver, sample};
use common::{Database, InTransaction, TransactionalListener};

use super::{ReleaseOnCancel, ReserveOnOrder, SellOnCompletion};
use crate::fixture::Fixture;
use crate::ticket::State;

fn created(order: OrderId, ticket: TicketId) -> OrderCreated {
    let price = sample::cents(2500);
    OrderCreated {
        id: order,
        ticket: PricedTicket { id: ticket, price },
        ..sample::order_created()
    }
}

fn cancelled(order: OrderId, ticket: TicketId) -> OrderCancelled {
    OrderCancelled {
        id: order,
        ticket: OrderedTicket { id: ticket },
        ..sample::order_cancelled()
    }
}

fn completed(order: OrderId, ticket: TicketId) -> OrderCompleted {
    OrderCompleted {
        id: order,
        ticket: OrderedTicket { id: ticket },
        ..sample::order_completed()
    }
}

fn on<L: TransactionalListener>(database: &Database, listener: L) -> InTransaction<L> {
    InTransaction::new(database, listener)
}

#[tokio::test]
async fn order_reserves_the_ticket_once() {
    let fixture = Fixture::new().await;
    let (ticket, order) = (fixture.ticket().await, OrderId::new());
    let listener = on(&fixture.database, ReserveOnOrder);
    let envelope = Envelope::of(&created(order, ticket));

    let first = envelope.deliver_to(&listener).await;
    let second = envelope.deliver_to(&listener).await;

    assert_eq!(first, Outcome::Acked);
    assert_eq!(second, Outcome::AlreadyApplied);
    assert_eq!(fixture.state(ticket).await, State::Reserved(order));
    let updates = fixture.updates(ticket).await;
    assert_eq!(updates.len(), 1, "{updates:?}");
    assert_eq!(updates[0].order_id, Some(order));
    assert_eq!(updates[0].version, sample::version(2));
}

#[tokio::test]
async fn second_order_waits_until_the_first_is_cancelled() {
    let fixture = Fixture::new().await;
    let ticket = fixture.ticket().await;
    let (first, second) = (OrderId::new(), OrderId::new());
    let reserve = on(&fixture.database, ReserveOnOrder);
    let release = on(&fixture.database, ReleaseOnCancel);

    for order in [first, second] {
        let outcome = deliver(&reserve, created(order, ticket)).await;
        assert_eq!(outcome, Outcome::Acked);
    }
    assert_eq!(fixture.state(ticket).await, State::Reserved(first));

    let envelope = Envelope::of(&cancelled(first, ticket));
    assert_eq!(envelope.deliver_to(&release).await, Outcome::Acked);
    assert_eq!(envelope.deliver_to(&release).await, Outcome::AlreadyApplied);
    assert_eq!(fixture.state(ticket).await, State::Reserved(second));

    let outcome = deliver(&release, cancelled(second, ticket)).await;
    assert_eq!(outcome, Outcome::Acked);
    assert_eq!(fixture.state(ticket).await, State::ForSale);
    let holders: Vec<_> = fixture
        .updates(ticket)
        .await
        .into_iter()
        .map(|update| (update.version.get(), update.order_id))
        .collect();
    assert_eq!(holders, [(2, Some(first)), (3, Some(second)), (4, None)]);
}

#[tokio::test]
async fn paid_order_buys_the_ticket_once() {
    let fixture = Fixture::new().await;
    let (ticket, order) = (fixture.ticket().await, OrderId::new());
    let outcome = deliver(
        &on(&fixture.database, ReserveOnOrder),
        created(order, ticket),
    )
    .await;
    assert_eq!(outcome, Outcome::Acked);
    let listener = on(&fixture.database, SellOnCompletion);
    let envelope = Envelope::of(&completed(order, ticket));

    let first = envelope.deliver_to(&listener).await;
    let second = envelope.deliver_to(&listener).await;

    assert_eq!(first, Outcome::Acked);
    assert_eq!(second, Outcome::AlreadyApplied);
    assert_eq!(fixture.state(ticket).await, State::Sold(order));
    let updates = fixture.updates(ticket).await;
    assert_eq!(updates.len(), 1, "the holder has not changed: {updates:?}");
}

#[tokio::test]
async fn sold_ticket_is_not_sold_again_and_cannot_be_changed() {
    let fixture = Fixture::new().await;
    let ticket = fixture.ticket().await;
    let (buyer, late) = (OrderId::new(), OrderId::new());
    let reserve = on(&fixture.database, ReserveOnOrder);
    let sell = on(&fixture.database, SellOnCompletion);
    for order in [buyer, late] {
        assert_eq!(
            deliver(&reserve, created(order, ticket)).await,
            Outcome::Acked
        );
    }
    let outcome = deliver(&sell, completed(buyer, ticket)).await;
    assert_eq!(outcome, Outcome::Acked);

    let outcome = deliver(&sell, completed(late, ticket)).await;

    let Outcome::Rejected { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("sold to order"), "{reason}");
    assert_eq!(fixture.state(ticket).await, State::Sold(buyer));
    let path = format!("/api/tickets/{ticket}");
    let offer = r#"{"title":"x","price":1}"#;
    let reply = fixture.user("alice").put(&path, offer).await;
    reply.assert_refused(409, None);
}

#[tokio::test]
async fn order_of_an_unknown_ticket_is_rejected() {
    let fixture = Fixture::new().await;
    let (ticket, order) = (TicketId::new(), OrderId::new());
    let rejected = Outcome::Rejected {
        reason: "there is no such ticket".to_owned(),
    };

    let outcome = deliver(
        &on(&fixture.database, ReserveOnOrder),
        created(order, ticket),
    )
    .await;

    assert_eq!(outcome, rejected);
}

#[tokio::test]
async fn cancellation_that_comes_first_is_held() {
    let fixture = Fixture::new().await;
    let (ticket, order) = (fixture.ticket().await, OrderId::new());
    let release = on(&fixture.database, ReleaseOnCancel);
    let envelope = Envelope::of(&cancelled(order, ticket));

    let early = envelope.deliver_to(&release).await;
    let created = deliver(
        &on(&fixture.database, ReserveOnOrder),
        created(order, ticket),
    )
    .await;
    let again = envelope.deliver_to(&release).await;

    assert_eq!(early, Outcome::Held);
    assert_eq!(created, Outcome::Acked);
    assert_eq!(again, Outcome::Acked);
    assert_eq!(fixture.state(ticket).await, State::ForSale);
}

/// What becomes of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Cancelled,
    Completed,
    Open,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Created(usize),
    Cancelled(usize),
    Completed(usize),
}

/// Every way in which the events of orders with these ends can mix. Those of one order stay in order:
/// the library sees to that.
fn deliveries(ends: &[End]) -> Vec<Vec<Step>> {
    fn mix(rest: &mut [Vec<Step>], so_far: &mut Vec<Step>, all: &mut Vec<Vec<Step>>) {
        if rest.iter().all(Vec::is_empty) {
            all.push(so_far.clone());
        }
        for at in 0..rest.len() {
            if rest[at].is_empty() {
                continue;
            }
            let step = rest[at].remove(0);
            so_far.push(step);
            mix(rest, so_far, all);
            so_far.pop();
            rest[at].insert(0, step);
        }
    }
    let mut scripts: Vec<_> = ends
        .iter()
        .enumerate()
        .map(|(order, end)| match end {
            End::Cancelled => vec![Step::Created(order), Step::Cancelled(order)],
            End::Completed => vec![Step::Created(order), Step::Completed(order)],
            End::Open => vec![Step::Created(order)],
        })
        .collect();
    let mut all = Vec::new();
    mix(&mut scripts, &mut Vec::new(), &mut all);
    all
}

/// Delivers the events of orders with these ends in every order, each to a ticket of its own.
async fn check(ends: &[End], expected: fn(&[OrderId]) -> State) {
    let fixture = Fixture::new().await;
    let reserve = on(&fixture.database, ReserveOnOrder);
    let release = on(&fixture.database, ReleaseOnCancel);
    let sell = on(&fixture.database, SellOnCompletion);
    for delivery in deliveries(ends) {
        let ticket = fixture.ticket().await;
        let orders: Vec<_> = ends.iter().map(|_| OrderId::new()).collect();

        for step in &delivery {
            let outcome = match *step {
                Step::Created(at) => deliver(&reserve, created(orders[at], ticket)).await,
                Step::Cancelled(at) => deliver(&release, cancelled(orders[at], ticket)).await,
                Step::Completed(at) => deliver(&sell, completed(orders[at], ticket)).await,
            };
            assert_eq!(outcome, Outcome::Acked, "{step:?} of {delivery:?}");
        }

        let found = fixture.find(ticket).await;
        assert_eq!(found.state, expected(&orders), "{delivery:?}");
        let updates = fixture.updates(ticket).await;
        for (update, number) in updates.iter().zip(2..) {
            assert_eq!(update.version.get(), number, "{delivery:?}");
        }
        let last = updates.last().expect("there was a first order");
        assert_eq!(last.version, found.version, "{delivery:?}");
        assert_eq!(last.order_id, found.state.holder(), "{delivery:?}");
    }
}

#[tokio::test]
async fn cancel_and_reorder_at_once_end_the_same_in_every_delivery_order() {
    use End::{Cancelled, Completed, Open};

    check(&[Cancelled], |_| State::ForSale).await;
    check(&[Cancelled, Open], |orders| State::Reserved(orders[1])).await;
    check(&[Open, Cancelled], |orders| State::Reserved(orders[0])).await;
    check(&[Cancelled, Cancelled], |_| State::ForSale).await;
    check(&[Cancelled, Completed], |orders| State::Sold(orders[1])).await;
    check(&[Completed, Cancelled], |orders| State::Sold(orders[0])).await;
    check(&[Cancelled, Cancelled, Open], |orders| {
        State::Reserved(orders[2])
    })
    .await;
    check(&[Cancelled, Cancelled, Completed], |orders| {
        State::Sold(orders[2])
    })
    .await;
}

#[tokio::test]
async fn two_replicas_agree_on_one_holder() {
    let fixture = Fixture::new().await;
    let ticket = fixture.ticket().await;
    let replicas = [fixture.database.clone(), fixture.replica().await];
    let orders: Vec<_> = (0..20).map(|_| OrderId::new()).collect();
    let survivor = orders[7];

    let all = orders
        .iter()
        .zip(replicas.iter().cycle())
        .map(async |(&order, database)| {
            let reserve = on(database, ReserveOnOrder);
            let outcome = deliver(&reserve, created(order, ticket)).await;
            assert_eq!(outcome, Outcome::Acked);
            if order != survivor {
                let release = on(database, ReleaseOnCancel);
                let outcome = deliver(&release, cancelled(order, ticket)).await;
                assert_eq!(outcome, Outcome::Acked);
            }
        });
    futures::future::join_all(all).await;

    assert_eq!(fixture.state(ticket).await, State::Reserved(survivor));
    let last = fixture.updates(ticket).await.pop().expect("updates");
    assert_eq!(last.order_id, Some(survivor));
}
