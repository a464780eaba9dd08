//! The sandbox answers as a bank would.

use std::time::Duration;

use common::events::OrderId;
use futures::FutureExt as _;
use futures::future::join_all;
use payments_service::{
    Attempt, ChargeAnswer, ChargeRequest, IdempotencyKey, LedgerError, PaymentGateway as _,
    RefundRequest, SandboxGateway, SandboxLedger,
};

use crate::shop::Shop;

fn request(shop: &Shop, order: OrderId, token: &str) -> ChargeRequest {
    ChargeRequest {
        key: IdempotencyKey::charge(order, Attempt::FIRST),
        order,
        amount: 2500_u64.try_into().unwrap(),
        description: "a concert".to_owned(),
        token: token.parse().unwrap(),
        deadline: shop
            .clock()
            .now()
            .checked_add(Duration::from_secs(10))
            .unwrap(),
    }
}

#[tokio::test]
async fn same_key_is_charged_once_and_answered_alike() {
    let shop = Shop::open().await;
    let gateway = shop.sandbox();
    let request = request(&shop, OrderId::new(), "tok_visa");

    let first = gateway.charge(request.clone()).await.unwrap();
    let second = gateway.charge(request.clone()).await.unwrap();

    assert_eq!(first, second);
    assert_eq!(
        gateway.find_charge(&request.key).await.unwrap(),
        Some(first.clone())
    );
    let charges = shop.ledger.charges().await.unwrap();
    assert_eq!(charges.len(), 1);
    assert_eq!(charges[0].key, request.key.as_str());
    assert_eq!(charges[0].order, request.order);
    assert_eq!(charges[0].amount, request.amount);
    assert_eq!(charges[0].description, "a concert");
    assert_eq!(ChargeAnswer::Charged(charges[0].charge.clone()), first);
}

#[tokio::test]
async fn declined_key_stays_declined_with_a_better_card() {
    let shop = Shop::open().await;
    let gateway = shop.sandbox();
    let order = OrderId::new();
    let bad = request(&shop, order, "tok_chargeDeclined");

    let first = gateway.charge(bad.clone()).await.unwrap();
    let second = gateway
        .charge(request(&shop, order, "tok_visa"))
        .await
        .unwrap();

    assert_eq!(first, ChargeAnswer::Declined);
    assert_eq!(second, ChargeAnswer::Declined);
    assert_eq!(
        gateway.find_charge(&bad.key).await.unwrap(),
        Some(ChargeAnswer::Declined)
    );
    assert!(shop.ledger.charges().await.unwrap().is_empty());
    let declines = shop.ledger.declines().await.unwrap();
    assert_eq!(declines.len(), 1);
    assert_eq!(
        (declines[0].key.as_str(), declines[0].order),
        (bad.key.as_str(), order)
    );
}

#[tokio::test]
async fn unknown_token_is_declined() {
    let shop = Shop::open().await;
    let answer = shop
        .sandbox()
        .charge(request(&shop, OrderId::new(), "tok_mystery"))
        .await;
    assert_eq!(answer.unwrap(), ChargeAnswer::Declined);
}

#[tokio::test]
async fn tokens_that_are_not_answered_differ_at_the_bank() {
    let shop = Shop::open().await;
    let gateway = shop.sandbox();
    let silent = request(&shop, OrderId::new(), "tok_timeout");
    let lost = request(&shop, OrderId::new(), "tok_lost");

    // Nothing but the ledger tells that the first has arrived.
    let charged = async {
        while gateway.find_charge(&silent.key).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = gateway.charge(silent.clone()) => panic!("answered"),
        () = charged => (),
    }

    assert!(gateway.charge(lost.clone()).now_or_never().is_none());
    assert_eq!(gateway.find_charge(&lost.key).await.unwrap(), None);
    assert_eq!(shop.ledger.charges().await.unwrap().len(), 1);
}

#[tokio::test]
async fn request_after_its_deadline_charges_nothing() {
    let shop = Shop::open().await;
    let gateway = shop.sandbox();
    let request = request(&shop, OrderId::new(), "tok_visa");

    shop.advance(Duration::from_secs(10));
    gateway.charge(request.clone()).await.unwrap_err();

    assert_eq!(gateway.find_charge(&request.key).await.unwrap(), None);
    assert!(shop.ledger.charges().await.unwrap().is_empty());
}

#[tokio::test]
async fn answer_is_repeated_after_the_deadline() {
    let shop = Shop::open().await;
    let gateway = shop.sandbox();
    let request = request(&shop, OrderId::new(), "tok_visa");
    let answer = gateway.charge(request.clone()).await.unwrap();

    shop.advance(Duration::from_hours(1));

    assert_eq!(gateway.charge(request).await.unwrap(), answer);
}

#[tokio::test]
async fn one_key_from_many_replicas_at_once_is_one_charge() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/new/ledger.db", folder.path().display());
    // The file is created by all of them at once, too.
    let ledgers = join_all((0..4).map(|_| SandboxLedger::open(&url))).await;
    let gateways: Vec<_> = ledgers
        .into_iter()
        .map(|ledger| SandboxGateway::new(ledger.unwrap()))
        .collect();
    let shop = Shop::open().await;
    let mut request = request(&shop, OrderId::new(), "tok_visa");
    request.deadline = jiff::Timestamp::MAX;

    let charges = gateways
        .iter()
        .flat_map(|gateway| (0..4).map(|_| gateway.charge(request.clone())));
    let answers = join_all(charges).await;

    let first = answers[0].as_ref().unwrap();
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().unwrap() == first)
    );
    assert_eq!(gateways[0].ledger().charges().await.unwrap().len(), 1);
}

#[tokio::test]
async fn same_key_is_refunded_once_and_answered_alike() {
    let shop = Shop::open().await;
    let gateway = shop.sandbox();
    let request = request(&shop, OrderId::new(), "tok_visa");
    let ChargeAnswer::Charged(charge) = gateway.charge(request.clone()).await.unwrap() else {
        panic!("not charged");
    };
    let refund = RefundRequest {
        key: IdempotencyKey::refund(request.order),
        order: request.order,
        charge: charge.clone(),
        amount: request.amount,
    };

    let first = gateway.refund(refund.clone()).await.unwrap();
    let second = gateway.refund(refund.clone()).await.unwrap();

    assert_eq!(first, second);
    let refunds = shop.ledger.refunds().await.unwrap();
    assert_eq!(refunds.len(), 1);
    assert_eq!(refunds[0].key, refund.key.as_str());
    assert_eq!((&refunds[0].refund, &refunds[0].charge), (&first, &charge));
    assert_eq!(
        (refunds[0].order, refunds[0].amount),
        (refund.order, refund.amount)
    );
}

#[tokio::test]
async fn refund_of_a_charge_that_nobody_made_is_refused() {
    let shop = Shop::open().await;
    let order = OrderId::new();
    let refund = RefundRequest {
        key: IdempotencyKey::refund(order),
        order,
        charge: "ch_invented".parse().unwrap(),
        amount: 2500_u64.try_into().unwrap(),
    };

    shop.sandbox().refund(refund).await.unwrap_err();

    assert!(shop.ledger.refunds().await.unwrap().is_empty());
}

#[tokio::test]
async fn request_that_is_dropped_on_its_way_charges_nothing() {
    let shop = Shop::open().await;
    let gateway = shop.sandbox().latency(Duration::from_hours(1));
    let request = request(&shop, OrderId::new(), "tok_visa");

    assert!(gateway.charge(request).now_or_never().is_none());
    assert!(shop.ledger.charges().await.unwrap().is_empty());
}

#[tokio::test]
async fn unusable_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no ledger, but longer than the head of a database").unwrap();
    let open = async |path: String| SandboxLedger::open(&path).await.unwrap_err();

    let err = open(format!("sqlite://{}", file.display())).await;
    assert!(matches!(err, LedgerError::Open { .. }), "{err:?}");

    let err = open(format!("sqlite://{}/ledger.db", file.display())).await;
    assert!(matches!(err, LedgerError::Folder { .. }), "{err:?}");

    for url in ["postgres://host/database", "sqlite::memory:", "ledger.db"] {
        let err = open(url.to_owned()).await;
        assert!(matches!(err, LedgerError::Url { .. }), "{err:?}");
    }
}

#[tokio::test]
async fn both_ways_to_name_a_file_name_one_ledger() {
    let shop = Shop::open().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bank.db");
    let open = async |scheme| SandboxLedger::open(&format!("{scheme}{}", path.display())).await;
    let one = SandboxGateway::new(open("sqlite:").await.unwrap()).clock(shop.clock());

    one.charge(request(&shop, OrderId::new(), "tok_visa"))
        .await
        .unwrap();

    let other = open("sqlite://").await.unwrap();
    assert_eq!(other.charges().await.unwrap().len(), 1);
}
