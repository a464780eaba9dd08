//! Paying for an order: what is charged, and what is refused.

use std::sync::Arc;

use common::events::{OrderId, UserId};
use futures::future::join_all;
use payments_service::PayError;
use payments_service::listeners::{AddOnOrderCreated, NameOnTicketCreated};
use serde_json::json;

use crate::bank::Road;
use crate::books::Books;
use crate::shop::{MICROSECOND, PATIENT, Shop, pay};

#[tokio::test]
async fn order_is_charged_its_price_and_told_of() {
    let shop = Shop::open().await;
    let order = shop.order().await;

    let payment = pay(&shop.cashier(), order, "tok_visa").await.unwrap();

    assert_eq!(shop.books(order).await, Books::paid());
    let charges = shop.ledger.charges().await.unwrap();
    assert_eq!(charges[0].key, format!("{order}:1"));
    assert_eq!(charges[0].amount.get(), 2500);
    assert_eq!(charges[0].description, format!("Order {order}"));
    let told = json!({
        "id": payment, "orderId": order, "amount": 2500, "chargeId": charges[0].charge,
    });
    assert_eq!(shop.published().await, [told]);
}

#[tokio::test]
async fn statement_names_the_ticket() {
    let shop = Shop::open().await;
    let order = shop.order_created();
    let ticket = common::events::TicketCreated {
        id: order.ticket.id,
        title: common::testing::sample::title(&format!("Ünïcode {}", "x".repeat(150))),
        ..common::testing::sample::ticket_created()
    };
    shop.apply(&NameOnTicketCreated, ticket).await.unwrap();
    shop.apply(&AddOnOrderCreated, order.clone()).await.unwrap();

    pay(&shop.cashier(), order.id, "tok_visa").await.unwrap();

    let charges = shop.ledger.charges().await.unwrap();
    let title = format!("Ünïcode {}", "x".repeat(92));
    assert_eq!(
        charges[0].description,
        format!("{title} (order {})", order.id)
    );
}

#[tokio::test]
async fn order_that_nobody_told_of_is_not_charged() {
    let shop = Shop::open().await;
    let order = OrderId::new();

    let err = pay(&shop.cashier(), order, "tok_visa").await.unwrap_err();

    assert!(matches!(err, PayError::UnknownOrder), "{err}");
    assert_eq!(shop.books(order).await, Books::untouched());
}

#[tokio::test]
async fn order_of_another_user_is_not_charged() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let mallory: UserId = "mallory".parse().unwrap();

    let err = shop
        .cashier()
        .pay(&mallory, order, "tok_visa".parse().unwrap())
        .await
        .unwrap_err();

    assert!(matches!(err, PayError::NotYours), "{err}");
    assert_eq!(shop.books(order).await, Books::untouched());
}

#[tokio::test]
async fn order_can_be_paid_until_it_expires_and_not_from_then_on() {
    let shop = Shop::open().await;
    let created = shop.order_created();
    let in_time = shop.order().await;
    let late = created.id;
    shop.apply(&AddOnOrderCreated, created.clone())
        .await
        .unwrap();
    let ttl = created.expires_at.duration_since(shop.clock().now());

    shop.advance(ttl.unsigned_abs().saturating_sub(MICROSECOND));
    pay(&shop.cashier(), in_time, "tok_visa").await.unwrap();
    shop.advance(MICROSECOND);
    let err = pay(&shop.cashier(), late, "tok_visa").await.unwrap_err();

    assert!(matches!(err, PayError::Expired), "{err}");
    assert_eq!(shop.books(late).await, Books::untouched());
    let err = pay(&shop.cashier(), in_time, "tok_visa").await.unwrap_err();
    assert!(matches!(err, PayError::AlreadyPaid), "{err}");
}

#[tokio::test]
async fn paid_order_is_not_charged_again() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    pay(&shop.cashier(), order, "tok_visa").await.unwrap();

    let before = pay(&shop.cashier(), order, "tok_visa").await.unwrap_err();
    shop.complete(order).await.unwrap();
    let after = pay(&shop.cashier(), order, "tok_visa").await.unwrap_err();

    assert!(matches!(before, PayError::AlreadyPaid), "{before}");
    assert!(matches!(after, PayError::AlreadyPaid), "{after}");
    assert_eq!(shop.books(order).await, Books::paid());
}

#[tokio::test]
async fn declined_order_can_be_paid_with_another_card() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let cashier = shop.cashier();

    for _ in 0..2 {
        let err = pay(&cashier, order, "tok_chargeDeclined")
            .await
            .unwrap_err();
        assert!(matches!(err, PayError::Declined), "{err}");
        assert_eq!(shop.books(order).await, Books::unpaid("declined"));
    }
    pay(&cashier, order, "tok_visa").await.unwrap();

    assert_eq!(shop.books(order).await, Books::paid());
    assert_eq!(shop.ledger.declines().await.unwrap().len(), 2);
    let charges = shop.ledger.charges().await.unwrap();
    assert_eq!(charges[0].key, format!("{order}:3"));
}

#[tokio::test]
async fn of_many_requests_on_two_replicas_one_is_charged() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let replicas = [shop.replica().await, shop.replica().await];

    let requests = replicas
        .iter()
        .flat_map(|cashier| (0..8).map(|_| pay(cashier, order, "tok_visa")));
    let outcomes = join_all(requests).await;

    let paid = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(paid, 1);
    for err in outcomes.into_iter().filter_map(Result::err) {
        assert!(
            matches!(err, PayError::BeingCharged | PayError::AlreadyPaid),
            "{err}"
        );
    }
    assert_eq!(shop.books(order).await, Books::paid());
}

#[tokio::test]
async fn request_while_another_is_on_its_way_is_refused() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let road = Road::to(shop.sandbox());
    let cashier = Arc::new(shop.cashier_at(road.clone(), PATIENT));
    let paying = tokio::spawn({
        let cashier = Arc::clone(&cashier);
        async move { pay(&cashier, order, "tok_visa").await }
    });
    let call = road.call().await;

    let err = pay(&shop.replica().await, order, "tok_visa")
        .await
        .unwrap_err();
    assert!(matches!(err, PayError::BeingCharged), "{err}");
    assert_eq!(shop.books(order).await, Books::unpaid("charging"));

    let answer = call.arrive().await;
    call.answer(answer);
    paying.await.unwrap().unwrap();
    assert_eq!(shop.books(order).await, Books::paid());
}

#[tokio::test]
async fn orders_do_not_wait_for_each_other() {
    let shop = Shop::open().await;
    let (slow, quick) = (shop.order().await, shop.order().await);
    let road = Road::to(shop.sandbox());
    let cashier = shop.cashier_at(road.clone(), PATIENT);
    let paying = tokio::spawn(async move { pay(&cashier, slow, "tok_visa").await });
    let _on_its_way = road.call().await;

    pay(&shop.cashier(), quick, "tok_visa").await.unwrap();

    assert_eq!(shop.books(quick).await, Books::paid());
    paying.abort();
}
