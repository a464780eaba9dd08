use common::Publisher as _;
use common::events::{OrderCancelled, PaymentId};
use jiff::{SignedDuration, Timestamp};

use super::{GRACE, cancel_overdue};
use crate::fixture::Fixture;
use crate::order::Status;
use crate::store::{self, Completion};

#[tokio::test]
async fn order_that_nobody_cancelled_is_found_half_a_minute_later() {
    let fixture = Fixture::new().await;
    let order = fixture.order().await;
    let moment = SignedDuration::from_millis(1);

    cancel_overdue(&fixture.database, order.expires_at + GRACE - moment)
        .await
        .unwrap();
    assert_eq!(fixture.status(order.id).await, Status::Created);

    for _ in 0..2 {
        cancel_overdue(&fixture.database, order.expires_at + GRACE)
            .await
            .unwrap();
    }
    assert_eq!(fixture.status(order.id).await, Status::Cancelled);
    assert_eq!(fixture.published::<OrderCancelled>().await.len(), 1);
}

#[tokio::test]
async fn paid_order_is_never_overdue() {
    let fixture = Fixture::new().await;
    let order = fixture.order().await;
    let mut tx = fixture.database.begin().await.unwrap();
    let payment = PaymentId::new();
    let completion = store::complete(&mut tx, order.id, payment, order.price)
        .await
        .unwrap();
    assert!(matches!(completion, Completion::Completed(_)));
    tx.commit().await.unwrap();

    let later = Timestamp::now() + SignedDuration::from_hours(1);
    cancel_overdue(&fixture.database, later).await.unwrap();

    assert_eq!(fixture.status(order.id).await, Status::Complete);
}

#[tokio::test]
async fn two_replicas_that_sweep_at_once_cancel_once() {
    let fixture = Fixture::new().await;
    let replica = fixture.replica().await;
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(fixture.order().await);
    }
    let later = Timestamp::now() + SignedDuration::from_hours(1);

    let (one, other) = tokio::join!(
        cancel_overdue(&fixture.database, later),
        cancel_overdue(&replica.database, later),
    );

    one.unwrap();
    other.unwrap();
    let cancelled = fixture.published::<OrderCancelled>().await;
    assert_eq!(cancelled.len(), orders.len());
}

#[tokio::test]
async fn orders_that_cannot_be_cancelled_hold_up_no_other() {
    let fixture = Fixture::new().await;
    let mut stuck = Vec::new();
    // As many as one page has, and in front of the other.
    for _ in 0..100 {
        stuck.push(fixture.order().await);
    }
    let other = fixture.order().await;
    let mut tx = fixture.database.begin().await.unwrap();
    for order in &stuck {
        // The outbox takes one event of each version.
        let event = OrderCancelled {
            version: order.version.next(),
            ..OrderCancelled::from(order)
        };
        tx.publish(&event).await.unwrap();
    }
    tx.commit().await.unwrap();

    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let cancelled = cancel_overdue(&fixture.database, later).await.unwrap();

    assert_eq!(cancelled, 1);
    assert_eq!(fixture.status(stuck[0].id).await, Status::Created);
    assert_eq!(fixture.status(other.id).await, Status::Cancelled);
}

#[tokio::test]
async fn backlog_is_cancelled_in_one_go() {
    let fixture = Fixture::new().await;
    // More than one page.
    for _ in 0..101 {
        fixture.order().await;
    }

    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let cancelled = cancel_overdue(&fixture.database, later).await.unwrap();

    assert_eq!(cancelled, 101);
}
