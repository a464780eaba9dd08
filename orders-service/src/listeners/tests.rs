use common::events::{
    ExpirationComplete, OrderCancelled, OrderCompleted, OrderId, PaymentCreated, PaymentRefunded,
    TicketCreated, TicketId, TicketUpdated,
};
use common::testing::{Envelope, Outcome, deliver, outbox, sample};
use common::{Database, InTransaction, TransactionalListener};

use super::{
    AddOnTicketCreated, CancelOnExpiration, CompleteOnPayment, ConfirmOnTicketUpdated,
    RecordOnRefund,
};
use crate::fixture::Fixture;
use crate::order::{Order, Status};
use crate::store::{self, Offer};

fn on<L: TransactionalListener>(database: &Database, listener: L) -> InTransaction<L> {
    InTransaction::new(database, listener)
}

fn payment(order: &Order) -> PaymentCreated {
    PaymentCreated {
        order_id: order.id,
        amount: order.price,
        ..sample::payment_created()
    }
}

fn refund(order: &Order) -> PaymentRefunded {
    PaymentRefunded {
        order_id: order.id,
        ..sample::payment_refunded()
    }
}

/// What tickets-service says when the order holds its ticket.
fn reservation(order: &Order) -> TicketUpdated {
    TicketUpdated {
        id: order.ticket,
        order_id: Some(order.id),
        ..sample::ticket_updated()
    }
}

/// Lets the guard pass version 1 of the ticket, which the fixture has written by hand.
async fn hear_of(fixture: &Fixture, ticket: TicketId) {
    let created = TicketCreated {
        id: ticket,
        ..sample::ticket_created()
    };
    let outcome = deliver(&on(&fixture.database, AddOnTicketCreated), created).await;
    assert_eq!(outcome, Outcome::Acked);
}

async fn give_up(fixture: &Fixture, order: OrderId) {
    let path = format!("/api/orders/{order}");
    assert_eq!(fixture.user("bob").delete(&path).await.status, 204);
}

#[track_caller]
fn assert_rejected(outcome: &Outcome, word: &str) {
    match outcome {
        Outcome::Rejected { reason } => assert!(reason.contains(word), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn ticket_can_be_ordered_once_it_was_heard_of() {
    let fixture = Fixture::new().await;
    let created = sample::ticket_created();
    let envelope = Envelope::of(&created);
    let listener = on(&fixture.database, AddOnTicketCreated);

    let first = envelope.deliver_to(&listener).await;
    let second = envelope.deliver_to(&listener).await;

    assert_eq!(first, Outcome::Acked);
    assert_eq!(second, Outcome::AlreadyApplied);
    fixture.order_of(created.id).await;
}

#[tokio::test]
async fn ticket_whose_title_no_database_can_store_is_no_event() {
    let fixture = Fixture::new().await;
    let created = sample::ticket_created();
    let mut payload = serde_json::to_value(&created).unwrap();
    payload["title"] = "Bal\0cony".into();
    let envelope = Envelope::of(&created).payload(payload.to_string());

    let outcome = envelope
        .deliver_to(&on(&fixture.database, AddOnTicketCreated))
        .await;

    let Outcome::Undecodable { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("control characters"), "{reason}");
}

#[tokio::test]
async fn change_of_a_ticket_is_followed_once_its_creation_is_known() {
    let fixture = Fixture::new().await;
    let created = sample::ticket_created();
    let updated = TicketUpdated {
        id: created.id,
        title: sample::title("Balcony"),
        price: sample::cents(900),
        order_id: None,
        ..sample::ticket_updated()
    };
    let follow = on(&fixture.database, ConfirmOnTicketUpdated);
    let envelope = Envelope::of(&updated);

    let early = envelope.deliver_to(&follow).await;
    let add = deliver(&on(&fixture.database, AddOnTicketCreated), created).await;
    let in_turn = envelope.deliver_to(&follow).await;
    let again = envelope.deliver_to(&follow).await;

    assert_eq!(early, Outcome::Held);
    assert_eq!(add, Outcome::Acked);
    assert_eq!(in_turn, Outcome::Acked);
    assert_eq!(again, Outcome::AlreadyApplied);
    let mut tx = fixture.database.begin().await.unwrap();
    let offer = store::offer(&mut tx, updated.id).await.unwrap();
    let (title, price) = ("Balcony".to_owned(), sample::cents(900));
    assert_eq!(offer, Offer::ForSale { title, price });
}

#[tokio::test]
async fn reservation_lets_the_order_await_its_payment_and_publishes_nothing() {
    let fixture = Fixture::new().await;
    let order = fixture.order().await;
    hear_of(&fixture, order.ticket).await;
    let published = outbox(&fixture.database).await.len();

    let outcome = deliver(
        &on(&fixture.database, ConfirmOnTicketUpdated),
        reservation(&order),
    )
    .await;

    assert_eq!(outcome, Outcome::Acked);
    let found = fixture.find(order.id).await;
    assert_eq!(found.status, Status::AwaitingPayment);
    assert_eq!(found.version, order.version);
    assert_eq!(outbox(&fixture.database).await.len(), published);
}

#[tokio::test]
async fn reservation_that_comes_late_changes_no_order() {
    let fixture = Fixture::new().await;
    let (paid, cancelled) = (fixture.order().await, fixture.order().await);
    let pay = on(&fixture.database, CompleteOnPayment);
    assert_eq!(deliver(&pay, payment(&paid)).await, Outcome::Acked);
    give_up(&fixture, cancelled.id).await;
    let confirm = on(&fixture.database, ConfirmOnTicketUpdated);

    for order in [&paid, &cancelled] {
        hear_of(&fixture, order.ticket).await;
        let outcome = deliver(&confirm, reservation(order)).await;
        assert_eq!(outcome, Outcome::Acked);
    }

    assert_eq!(fixture.status(paid.id).await, Status::Complete);
    assert_eq!(fixture.status(cancelled.id).await, Status::Cancelled);
}

#[tokio::test]
async fn reservation_for_an_unknown_order_keeps_the_ticket_true() {
    let fixture = Fixture::new().await;
    let ticket = fixture.ticket().await;
    hear_of(&fixture, ticket).await;
    let update = TicketUpdated {
        id: ticket,
        ..sample::ticket_updated()
    };

    let outcome = deliver(&on(&fixture.database, ConfirmOnTicketUpdated), update).await;

    assert_eq!(outcome, Outcome::Acked);
    let mut tx = fixture.database.begin().await.unwrap();
    let offer = store::offer(&mut tx, ticket).await.unwrap();
    assert_eq!(offer, Offer::Reserved);
}

#[tokio::test]
async fn payment_completes_the_order_once() {
    let fixture = Fixture::new().await;
    let order = fixture.order().await;
    let payment = payment(&order);
    let envelope = Envelope::of(&payment);
    let listener = on(&fixture.database, CompleteOnPayment);

    let first = envelope.deliver_to(&listener).await;
    let second = envelope.deliver_to(&listener).await;
    let told_again = deliver(&listener, payment).await;

    assert_eq!(first, Outcome::Acked);
    assert_eq!(second, Outcome::Duplicate);
    assert_eq!(told_again, Outcome::Acked);
    assert_eq!(fixture.status(order.id).await, Status::Complete);
    let completed = fixture.published::<OrderCompleted>().await;
    assert_eq!(completed.len(), 1);
    assert_eq!(completed[0].version, sample::version(2));
    assert_eq!(completed[0].ticket.id, order.ticket);
}

#[tokio::test]
async fn payment_of_a_cancelled_order_leaves_it_cancelled() {
    let fixture = Fixture::new().await;
    let order = fixture.order().await;
    give_up(&fixture, order.id).await;

    let outcome = deliver(&on(&fixture.database, CompleteOnPayment), payment(&order)).await;

    assert_eq!(outcome, Outcome::Acked);
    assert_eq!(fixture.status(order.id).await, Status::Cancelled);
    assert_eq!(fixture.published::<OrderCompleted>().await, []);
}

#[tokio::test]
async fn payment_that_cannot_be_right_is_rejected() {
    let fixture = Fixture::new().await;
    let order = fixture.order().await;
    let listener = on(&fixture.database, CompleteOnPayment);

    let unknown = deliver(&listener, sample::payment_created()).await;
    let wrong = PaymentCreated {
        amount: sample::cents(1),
        ..payment(&order)
    };
    let wrong = deliver(&listener, wrong).await;
    assert_rejected(&unknown, "no such order");
    assert_rejected(&wrong, "0.01 was paid for an order of 25.00");
    assert_eq!(fixture.status(order.id).await, Status::Created);

    let right = deliver(&listener, payment(&order)).await;
    let second = deliver(&listener, payment(&order)).await;
    assert_eq!(right, Outcome::Acked);
    assert_rejected(&second, "another payment");
}

#[tokio::test]
async fn refund_of_a_cancelled_order_is_recorded_once() {
    let fixture = Fixture::new().await;
    let order = fixture.order().await;
    give_up(&fixture, order.id).await;
    let refunded = refund(&order);
    let envelope = Envelope::of(&refunded);
    let listener = on(&fixture.database, RecordOnRefund);

    let first = envelope.deliver_to(&listener).await;
    let second = envelope.deliver_to(&listener).await;
    let told_again = deliver(&listener, refunded).await;
    let another = deliver(&listener, refund(&order)).await;

    assert_eq!(first, Outcome::Acked);
    assert_eq!(second, Outcome::Duplicate);
    assert_eq!(told_again, Outcome::Acked);
    assert_rejected(&another, "another refund");
    assert_eq!(fixture.find(order.id).await.version, sample::version(2));
}

#[tokio::test]
async fn refund_of_an_order_that_is_not_cancelled_is_rejected() {
    let fixture = Fixture::new().await;
    let order = fixture.order().await;
    let listener = on(&fixture.database, RecordOnRefund);

    let open = deliver(&listener, refund(&order)).await;
    let pay = on(&fixture.database, CompleteOnPayment);
    assert_eq!(deliver(&pay, payment(&order)).await, Outcome::Acked);
    let paid = deliver(&listener, refund(&order)).await;
    let unknown = deliver(&listener, sample::payment_refunded()).await;

    assert_rejected(&open, "not cancelled");
    assert_rejected(&paid, "not cancelled");
    assert_rejected(&unknown, "no such order");
}

#[tokio::test]
async fn expiry_cancels_the_order_once() {
    let fixture = Fixture::impatient().await;
    let order = fixture.order().await;
    let expiration = ExpirationComplete { order_id: order.id };
    let envelope = Envelope::of(&expiration);
    let listener = on(&fixture.database, CancelOnExpiration);

    let first = envelope.deliver_to(&listener).await;
    let second = envelope.deliver_to(&listener).await;
    let told_again = deliver(&listener, expiration).await;

    assert_eq!(first, Outcome::Acked);
    assert_eq!(second, Outcome::Duplicate);
    assert_eq!(told_again, Outcome::Acked);
    assert_eq!(fixture.status(order.id).await, Status::Cancelled);
    let cancelled = fixture.published::<OrderCancelled>().await;
    assert_eq!(cancelled.len(), 1);
    assert_eq!(cancelled[0].version, sample::version(2));
}

#[tokio::test]
async fn expiry_leaves_an_order_that_is_paid_or_not_due() {
    let patient = Fixture::new().await;
    let impatient = Fixture::impatient().await;
    let (waiting, paid) = (patient.order().await, impatient.order().await);
    let pay = on(&impatient.database, CompleteOnPayment);
    assert_eq!(deliver(&pay, payment(&paid)).await, Outcome::Acked);

    for (fixture, order) in [(&patient, &waiting), (&impatient, &paid)] {
        let expiration = ExpirationComplete { order_id: order.id };
        let listener = on(&fixture.database, CancelOnExpiration);
        assert_eq!(deliver(&listener, expiration).await, Outcome::Acked);
    }

    assert_eq!(patient.status(waiting.id).await, Status::Created);
    assert_eq!(impatient.status(paid.id).await, Status::Complete);
}

#[tokio::test]
async fn expiry_of_an_unknown_order_is_rejected() {
    let fixture = Fixture::new().await;
    let listener = on(&fixture.database, CancelOnExpiration);

    let outcome = deliver(&listener, sample::expiration_complete()).await;

    assert_rejected(&outcome, "no such order");
}

#[tokio::test]
async fn payment_expiry_and_giving_up_at_once_end_one_way_only() {
    let fixture = Fixture::impatient().await;
    let replica = fixture.replica().await;
    for _ in 0..10 {
        let order = fixture.order().await;
        let pay = on(&fixture.database, CompleteOnPayment);
        let expire = on(&replica.database, CancelOnExpiration);
        let expiration = ExpirationComplete { order_id: order.id };
        let path = format!("/api/orders/{}", order.id);
        let bob = replica.user("bob");

        let (paid, expired, given_up) = tokio::join!(
            deliver(&pay, payment(&order)),
            deliver(&expire, expiration),
            bob.delete(&path),
        );

        assert_eq!((paid, expired), (Outcome::Acked, Outcome::Acked));
        let completed = fixture.published::<OrderCompleted>().await;
        let cancelled = fixture.published::<OrderCancelled>().await;
        let completed = completed.iter().filter(|event| event.id == order.id);
        let cancelled = cancelled.iter().filter(|event| event.id == order.id);
        let ends = (completed.count(), cancelled.count());
        match fixture.status(order.id).await {
            Status::Complete => {
                assert_eq!(ends, (1, 0));
                given_up.assert_refused(409, None);
            }
            Status::Cancelled => {
                assert_eq!(ends, (0, 1));
                assert_eq!(given_up.status, 204);
            }
            open => panic!("{open:?}"),
        }
    }
}
