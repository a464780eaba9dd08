//! Silence, crashes and late answers: whatever the requester does not hear, the worker finds out.

use std::time::Duration;

use common::events::{OrderId, PaymentId};
use common::{Health, Severity};
use payments_service::{Cashier, ChargeAnswer, PayError, Worker};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::bank::{Call, Counter, DEADLINE, Road};
use crate::books::Books;
use crate::shop::{MICROSECOND, PATIENT, Shop, pay};

/// As short as a test's patience with a gateway that never answers.
const BRIEF: Duration = Duration::from_millis(50);

#[tokio::test]
async fn charge_that_is_never_answered_is_unknown_until_the_worker_finds_it() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let road = Road::to(shop.sandbox());
    let cashier = shop.cashier_at(road.clone(), BRIEF);

    let err = pay(&cashier, order, "tok_visa").await.unwrap_err();
    road.call().await.arrive().await.unwrap();
    assert!(matches!(err, PayError::OutcomeUnknown(_)), "{err}");
    assert_eq!(shop.status(order).await.as_deref(), Some("charging"));
    let err = pay(&cashier, order, "tok_visa").await.unwrap_err();
    assert!(matches!(err, PayError::BeingCharged), "{err}");

    shop.advance(BRIEF);
    shop.work(&cashier).await;

    assert_eq!(shop.books(order).await, Books::paid());
    let err = pay(&cashier, order, "tok_visa").await.unwrap_err();
    assert!(matches!(err, PayError::AlreadyPaid), "{err}");
}

#[tokio::test]
async fn unanswered_charge_of_an_order_cancelled_meanwhile_is_found_and_refunded() {
    let shop = Shop::open().await;
    let (cashier, call, order) = crashed(&shop).await;

    shop.cancel(order).await.unwrap();
    assert_eq!(shop.status(order).await.as_deref(), Some("charging"));
    call.arrive().await.unwrap();
    shop.advance(PATIENT);
    for _ in 0..2 {
        shop.work(&cashier).await;
    }

    assert_eq!(shop.books(order).await, Books::refunded());
}

#[tokio::test]
async fn lost_request_lapses_and_its_attempt_is_made_again() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let cashier = shop.cashier_at(shop.sandbox(), BRIEF);
    let err = pay(&cashier, order, "tok_lost").await.unwrap_err();
    assert!(matches!(err, PayError::OutcomeUnknown(_)), "{err}");

    // Nothing is found at the deadline, and that is not yet final.
    shop.advance(BRIEF);
    shop.work(&cashier).await;
    assert_eq!(shop.status(order).await.as_deref(), Some("charging"));
    shop.outlast(BRIEF);
    shop.work(&cashier).await;
    assert_eq!(shop.books(order).await, Books::unpaid("lapsed"));

    pay(&cashier, order, "tok_visa").await.unwrap();
    assert_eq!(shop.books(order).await, Books::paid());
    let charges = shop.ledger.charges().await.unwrap();
    assert_eq!(
        charges[0].key,
        format!("{order}:1"),
        "it is the same attempt"
    );
}

#[tokio::test]
async fn lost_request_of_a_cancelled_order_ends_without_a_charge() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let cashier = shop.cashier_at(shop.sandbox(), BRIEF);
    pay(&cashier, order, "tok_lost").await.unwrap_err();

    shop.cancel(order).await.unwrap();
    shop.outlast(BRIEF);
    shop.work(&cashier).await;

    assert_eq!(shop.books(order).await, Books::unpaid("lapsed"));
}

#[tokio::test]
async fn worker_does_not_look_before_the_deadline() {
    let shop = Shop::open().await;
    let (cashier, call, order) = crashed(&shop).await;
    call.arrive().await.unwrap();

    shop.advance(PATIENT.saturating_sub(MICROSECOND));
    shop.work(&cashier).await;
    assert_eq!(shop.status(order).await.as_deref(), Some("charging"));

    shop.advance(MICROSECOND);
    shop.work(&cashier).await;
    assert_eq!(shop.books(order).await, Books::paid());
}

#[tokio::test]
async fn crash_between_charge_and_commit_is_one_charge() {
    let shop = Shop::open().await;
    let (cashier, call, order) = crashed(&shop).await;
    call.arrive().await.unwrap();

    shop.advance(PATIENT);
    shop.work(&shop.replica().await).await;
    shop.work(&cashier).await;

    assert_eq!(shop.books(order).await, Books::paid());
}

#[tokio::test]
async fn crash_after_a_decline_is_a_decline() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let road = Road::to(shop.sandbox());
    let cashier = shop.cashier_at(road.clone(), PATIENT);
    let call = crash(&cashier, &road, order, "tok_chargeDeclined").await;
    call.arrive().await.unwrap();

    shop.advance(PATIENT);
    shop.work(&cashier).await;
    assert_eq!(shop.books(order).await, Books::unpaid("declined"));
    pay(&shop.cashier(), order, "tok_visa").await.unwrap();

    assert_eq!(shop.books(order).await, Books::paid());
}

#[tokio::test]
async fn request_that_arrives_after_its_payment_lapsed_charges_nothing() {
    let shop = Shop::open().await;
    let (cashier, call, order) = crashed(&shop).await;
    shop.outlast(PATIENT);
    shop.work(&cashier).await;
    assert_eq!(shop.books(order).await, Books::unpaid("lapsed"));

    call.arrive().await.unwrap_err();
    assert_eq!(shop.books(order).await, Books::unpaid("lapsed"));

    // Not even together with the request that follows.
    pay(&shop.cashier(), order, "tok_visa").await.unwrap();
    let _same_answer = call.arrive().await.unwrap();
    assert_eq!(shop.books(order).await, Books::paid());
}

#[tokio::test]
async fn outage_of_the_gateway_is_never_a_decline() {
    let shop = Shop::open().await;
    let (cashier, call, order, road) = crashed_on_a_road(&shop).await;
    call.arrive().await.unwrap();

    road.close();
    shop.outlast(PATIENT);
    let health = Health::new();
    let worker = Worker::new(&cashier, &health);
    for _ in 0..20 {
        worker.pass().await.unwrap();
        shop.outlast(PATIENT);
    }
    assert_eq!(shop.status(order).await.as_deref(), Some("charging"));
    let troubles = health.troubles();
    assert_eq!(troubles["payments worker"].severity, Severity::Warning);
    assert_eq!(
        troubles["payments worker"].message,
        "payments that wait for the gateway: 1"
    );

    road.open();
    worker.pass().await.unwrap();
    assert_eq!(shop.books(order).await, Books::paid());
    worker.pass().await.unwrap();
    assert!(health.troubles().is_empty());
}

#[tokio::test]
async fn answer_that_comes_after_the_worker_found_the_charge_changes_nothing() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let road = Road::to(shop.sandbox());
    let cashier = shop.cashier_at(road.clone(), PATIENT);
    let paying = tokio::spawn({
        let cashier = cashier.clone();
        async move { pay(&cashier, order, "tok_visa").await }
    });
    let call = road.call().await;
    let answer = call.arrive().await;
    // The clock runs ahead, so that the worker looks while the request waits.
    shop.advance(PATIENT);
    shop.work(&cashier).await;
    assert_eq!(shop.books(order).await, Books::paid());

    call.answer(answer);

    paying.await.unwrap().unwrap();
    assert_eq!(shop.books(order).await, Books::paid());
}

#[tokio::test]
async fn decline_that_is_held_up_does_not_end_a_later_request() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let road = Road::to(shop.sandbox());
    let cashier = shop.cashier_at(road.clone(), PATIENT);
    let spawn = |token: &'static str| {
        let cashier = cashier.clone();
        tokio::spawn(async move { pay(&cashier, order, token).await })
    };
    let first = spawn("tok_chargeDeclined");
    let first_call = road.call().await;
    let decline = first_call.arrive().await;
    shop.outlast(PATIENT);
    shop.work(&cashier).await;
    assert_eq!(shop.status(order).await.as_deref(), Some("declined"));
    let second = spawn("tok_visa");
    let second_call = road.call().await;

    first_call.answer(decline);
    first.await.unwrap().unwrap_err();
    assert_eq!(shop.status(order).await.as_deref(), Some("charging"));
    let charge = second_call.arrive().await;
    second_call.answer(charge);

    second.await.unwrap().unwrap();
    assert_eq!(shop.books(order).await, Books::paid());
    let charges = shop.ledger.charges().await.unwrap();
    assert_eq!(charges[0].key, format!("{order}:2"));
}

#[tokio::test]
async fn charge_that_the_gateway_had_declined_is_written_down() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let (requester, call) = declined_behind_its_back(&shop, order).await;

    call.answer(Ok(ChargeAnswer::Charged("ch_liar".parse().unwrap())));

    // The gateway breaks its word, but money is the truth.
    requester.await.unwrap().unwrap();
    assert_eq!(shop.status(order).await.as_deref(), Some("charged"));
    assert_eq!(shop.published().await.len(), 1);
}

#[tokio::test]
async fn charge_of_an_earlier_attempt_is_reported_and_changes_nothing() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let (requester, call) = declined_behind_its_back(&shop, order).await;
    pay(&shop.cashier(), order, "tok_visa").await.unwrap();

    call.answer(Ok(ChargeAnswer::Charged("ch_liar".parse().unwrap())));

    let err = requester.await.unwrap().unwrap_err();
    assert!(matches!(err, PayError::Contradicted), "{err}");
    assert_eq!(shop.books(order).await, Books::paid());
}

#[tokio::test]
async fn charge_of_an_earlier_attempt_does_not_stand_for_a_later_one() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let (requester, call) = declined_behind_its_back(&shop, order).await;
    let road = Road::to(shop.sandbox());
    let cashier = shop.cashier_at(road.clone(), PATIENT);
    let later = tokio::spawn(async move { pay(&cashier, order, "tok_visa").await });
    let later_call = road.call().await;

    call.answer(Ok(ChargeAnswer::Charged("ch_liar".parse().unwrap())));
    let err = requester.await.unwrap().unwrap_err();
    assert!(matches!(err, PayError::Contradicted), "{err}");
    let charge = later_call.arrive().await;
    later_call.answer(charge);

    later.await.unwrap().unwrap();
    assert_eq!(shop.books(order).await, Books::paid());
}

#[tokio::test]
async fn workers_that_find_the_same_at_once_write_it_down_once() {
    let shop = Shop::open().await;
    let (_, call, found) = crashed(&shop).await;
    call.arrive().await.unwrap();
    let refunded = shop.order().await;
    pay(&shop.cashier(), refunded, "tok_visa").await.unwrap();
    shop.cancel(refunded).await.unwrap();
    let counter = Counter::before(shop.sandbox());
    let cashier = shop.cashier_at(counter.clone(), PATIENT);

    // Each worker takes both payments, and is kept waiting with the gateway's answers in its hands.
    let mut workers = Vec::new();
    for replica in 1..=3 {
        shop.outlast(PATIENT);
        let worker = Worker::new(&cashier, &Health::new());
        workers.push(tokio::spawn(async move { worker.pass().await }));
        counter.queued(2 * replica).await;
    }
    counter.serve();

    for worker in workers {
        worker.await.unwrap().unwrap();
    }
    assert_eq!(shop.books(found).await, Books::paid());
    assert_eq!(shop.books(refunded).await, Books::refunded());
}

#[tokio::test]
async fn worker_works_until_it_is_told_to_stop() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let cashier = shop.cashier();
    pay(&cashier, order, "tok_visa").await.unwrap();
    shop.cancel(order).await.unwrap();
    let refunded = async {
        while shop.status(order).await.as_deref() != Some("refunded") {
            tokio::task::yield_now().await;
        }
    };

    let worker = Worker::new(&cashier, &Health::new());
    timeout(DEADLINE, worker.run(refunded)).await.unwrap();

    assert_eq!(shop.books(order).await, Books::refunded());
}

#[tokio::test]
async fn worker_that_is_told_to_stop_begins_nothing() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let cashier = shop.cashier();
    pay(&cashier, order, "tok_visa").await.unwrap();
    shop.cancel(order).await.unwrap();

    Worker::new(&cashier, &Health::new()).run(async {}).await;

    assert_eq!(shop.status(order).await.as_deref(), Some("refund_due"));
}

/// A request that still waits, while the worker has heard that it was declined.
async fn declined_behind_its_back(
    shop: &Shop,
    order: OrderId,
) -> (JoinHandle<Result<PaymentId, PayError>>, Call) {
    let road = Road::to(shop.sandbox());
    let cashier = shop.cashier_at(road.clone(), PATIENT);
    let requester = tokio::spawn({
        let cashier = cashier.clone();
        async move { pay(&cashier, order, "tok_chargeDeclined").await }
    });
    let call = road.call().await;
    call.arrive().await.unwrap();
    shop.outlast(PATIENT);
    shop.work(&cashier).await;
    assert_eq!(shop.status(order).await.as_deref(), Some("declined"));
    (requester, call)
}

/// An order whose request's process was killed while the charge was on its way.
async fn crashed(shop: &Shop) -> (Cashier<Road>, Call, OrderId) {
    let (cashier, call, order, _) = crashed_on_a_road(shop).await;
    (cashier, call, order)
}

async fn crashed_on_a_road(shop: &Shop) -> (Cashier<Road>, Call, OrderId, Road) {
    let order = shop.order().await;
    let road = Road::to(shop.sandbox());
    let cashier = shop.cashier_at(road.clone(), PATIENT);
    let call = crash(&cashier, &road, order, "tok_visa").await;
    (cashier, call, order, road)
}

async fn crash(cashier: &Cashier<Road>, road: &Road, order: OrderId, token: &str) -> Call {
    tokio::select! {
        _ = pay(cashier, order, token) => panic!("answered"),
        call = road.call() => call,
    }
}
