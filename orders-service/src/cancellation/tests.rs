use common::Publisher as _;
use common::events::{OrderCancelled, PaymentId};
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::{GRACE, ROUND, cancel_overdue, sweep};
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
async fn order_that_cannot_be_cancelled_holds_up_no_other() {
    let fixture = Fixture::new().await;
    let (stuck, other) = (fixture.order().await, fixture.order().await);
    // The outbox takes one event of each version.
    let mut tx = fixture.database.begin().await.unwrap();
    let event = OrderCancelled {
        version: stuck.version.next(),
        ..OrderCancelled::from(&stuck)
    };
    tx.publish(&event).await.unwrap();
    tx.commit().await.unwrap();

    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let cancelled = cancel_overdue(&fixture.database, later).await.unwrap();

    assert_eq!(cancelled, 1);
    assert_eq!(fixture.status(stuck.id).await, Status::Created);
    assert_eq!(fixture.status(other.id).await, Status::Cancelled);
}

#[tokio::test]
async fn backlog_is_cancelled_in_one_go() {
    let fixture = Fixture::new().await;
    // More than one search finds.
    for _ in 0..101 {
        fixture.order().await;
    }
    let mut tx = fixture.database.begin().await.unwrap();
    sqlx::query("UPDATE orders SET expires_at = 0")
        .execute(tx.connection())
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let long_ago = Timestamp::UNIX_EPOCH;
    let all_cancelled = async {
        while !store::overdue(&fixture.database, long_ago)
            .await
            .unwrap()
            .is_empty()
        {}
    };
    let swept = timeout(ROUND, sweep(fixture.database.clone(), all_cancelled)).await;

    assert!(swept.is_ok(), "the rest waits for another round");
}
