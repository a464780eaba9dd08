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
