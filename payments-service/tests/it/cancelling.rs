//! Payment racing cancellation: before, during and after the charge.

use common::FailureKind;
use common::events::OrderId;
use futures::future::join;
use payments_service::PayError;
use serde_json::json;

use crate::bank::Road;
use crate::books::Books;
use crate::shop::{PATIENT, Shop, pay};

#[tokio::test]
async fn cancelled_order_is_not_charged() {
    let shop = Shop::open().await;
    let order = shop.order().await;

    shop.cancel(order).await.unwrap();
    let err = pay(&shop.cashier(), order, "tok_visa").await.unwrap_err();

    assert!(matches!(err, PayError::Cancelled), "{err}");
    assert_eq!(shop.books(order).await, Books::untouched());
}

#[tokio::test]
async fn order_cancelled_while_the_charge_is_on_its_way_is_refunded() {
    for arrives_first in [Leg::There, Leg::Back] {
        let shop = Shop::open().await;
        let order = shop.order().await;
        let road = Road::to(shop.sandbox());
        let cashier = shop.cashier_at(road.clone(), PATIENT);
        let paying = tokio::spawn({
            let cashier = cashier.clone();
            async move { pay(&cashier, order, "tok_visa").await }
        });
        let call = road.call().await;

        let answer = match arrives_first {
            Leg::There => {
                shop.cancel(order).await.unwrap();
                call.arrive().await
            }
            Leg::Back => {
                let answer = call.arrive().await;
                shop.cancel(order).await.unwrap();
                answer
            }
        };
        call.answer(answer);

        let err = paying.await.unwrap().unwrap_err();
        assert!(matches!(err, PayError::CancelledMeanwhile), "{err}");
        assert_eq!(shop.status(order).await.as_deref(), Some("refund_due"));
        shop.work(&cashier).await;
        assert_eq!(shop.books(order).await, Books::refunded());
    }
}

/// Where the charge is when the order is cancelled.
#[derive(Debug, Clone, Copy)]
enum Leg {
    There,
    Back,
}

#[tokio::test]
async fn order_cancelled_after_the_charge_is_refunded_once_and_told_of() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let cashier = shop.cashier();
    let payment = pay(&cashier, order, "tok_visa").await.unwrap();

    shop.cancel(order).await.unwrap();
    assert_eq!(shop.status(order).await.as_deref(), Some("refund_due"));
    for _ in 0..3 {
        shop.work(&cashier).await;
        shop.outlast(PATIENT);
    }

    assert_eq!(shop.books(order).await, Books::refunded());
    let refunds = shop.ledger.refunds().await.unwrap();
    assert_eq!(refunds[0].key, format!("refund:{order}"));
    assert_eq!(refunds[0].amount.get(), 2500);
    let told = json!({
        "id": payment, "orderId": order, "amount": 2500, "refundId": refunds[0].refund,
    });
    assert_eq!(shop.published().await[1], told);
    let err = pay(&cashier, order, "tok_visa").await.unwrap_err();
    assert!(matches!(err, PayError::Cancelled), "{err}");
}

#[tokio::test]
async fn two_workers_refund_once() {
    let shop = Shop::open().await;
    let mut orders = Vec::new();
    for _ in 0..10 {
        let order = shop.order().await;
        pay(&shop.cashier(), order, "tok_visa").await.unwrap();
        shop.cancel(order).await.unwrap();
        orders.push(order);
    }

    let (here, there) = (shop.replica().await, shop.replica().await);
    join(shop.work(&here), shop.work(&there)).await;
    shop.outlast(PATIENT);
    join(shop.work(&here), shop.work(&there)).await;

    for order in orders {
        assert_eq!(shop.books(order).await, Books::refunded());
    }
}

#[tokio::test]
async fn refund_waits_for_as_long_as_the_gateway_is_away() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    pay(&shop.cashier(), order, "tok_visa").await.unwrap();
    shop.cancel(order).await.unwrap();
    let road = Road::to(shop.sandbox());
    let cashier = shop.cashier_at(road.clone(), PATIENT);

    road.close();
    for _ in 0..20 {
        shop.work(&cashier).await;
        shop.outlast(PATIENT);
    }
    assert_eq!(shop.status(order).await.as_deref(), Some("refund_due"));
    road.open();
    shop.work(&cashier).await;

    assert_eq!(shop.books(order).await, Books::refunded());
}

#[tokio::test]
async fn refund_that_was_made_and_not_written_down_is_made_once() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let cashier = shop.cashier();
    pay(&cashier, order, "tok_visa").await.unwrap();
    shop.cancel(order).await.unwrap();
    shop.work(&cashier).await;
    let refund = shop.ledger.refunds().await.unwrap().remove(0).refund;

    // As a process leaves it that is killed between the gateway's answer and the commit.
    let mut tx = shop.database.begin().await.unwrap();
    for undo in [
        "UPDATE payments SET status = 'refund_due', refund_id = NULL, due_at = 0",
        "DELETE FROM event_outbox WHERE channel = 'payment:refunded'",
    ] {
        sqlx::query(undo).execute(tx.connection()).await.unwrap();
    }
    tx.commit().await.unwrap();
    shop.work(&shop.replica().await).await;

    assert_eq!(shop.books(order).await, Books::refunded());
    assert_eq!(
        shop.published().await[1]["refundId"],
        json!(refund.as_str())
    );
}

#[tokio::test]
async fn completed_order_keeps_its_charge_and_cannot_be_cancelled() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let cashier = shop.cashier();
    pay(&cashier, order, "tok_visa").await.unwrap();
    shop.complete(order).await.unwrap();

    let failure = shop.cancel(order).await.unwrap_err();

    assert_eq!(failure.kind(), FailureKind::Reject);
    shop.work(&cashier).await;
    assert_eq!(shop.books(order).await, Books::paid());
}

#[tokio::test]
async fn cancelled_order_cannot_be_completed() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    shop.cancel(order).await.unwrap();

    let failure = shop.complete(order).await.unwrap_err();

    assert_eq!(failure.kind(), FailureKind::Reject);
}

#[tokio::test]
async fn end_of_an_order_that_nobody_told_of_is_tried_again() {
    let shop = Shop::open().await;

    let cancelled = shop.cancel(OrderId::new()).await.unwrap_err();
    let completed = shop.complete(OrderId::new()).await.unwrap_err();

    assert_eq!(cancelled.kind(), FailureKind::Retry);
    assert_eq!(completed.kind(), FailureKind::Retry);
}
