//! Whatever happens between a buyer and the bank, an order is charged once or not at all, and what was charged for a
//! cancelled one is given back.

use std::time::Duration;

use common::events::OrderId;
use common::{EXPIRATIONS, ORDERS, ORDERS_SERVICE, PAYMENTS, PAYMENTS_SERVICE, TICKETS_SERVICE};
use futures::future::join_all;
use integration_tests::services::{Side, Story, System, until};
use jiff::{SignedDuration, Timestamp};

use super::program;

#[tokio::test]
async fn declined_order_is_paid_with_another_card() {
    let system = System::shared().await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;
    let declined = Story::awaiting_payment().with_payment("declined");

    for card in ["tok_chargeDeclined", "tok_of_nobody"] {
        bob.pays(order, card).await.assert_refused(402, None);
        system.until_story(order, &declined).await;
    }
    assert_eq!(bob.pays(order, "tok_visa").await.status, 201);

    system.until_story(order, &Story::complete()).await;
}

#[tokio::test]
async fn declined_order_that_is_given_up_was_never_charged() {
    let system = System::shared().await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;

    bob.pays(order, "tok_chargeDeclined")
        .await
        .assert_refused(402, None);
    assert_eq!(bob.cancels(order).await.status, 204);

    let given_up = Story::cancelled().with_payment("declined");
    system.until_story(order, &given_up).await;
    bob.pays(order, "tok_visa").await.assert_refused(409, None);
}

#[tokio::test]
async fn charge_that_the_bank_never_answers_is_found_and_completes_the_order() {
    let system = System::shared().await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;

    bob.pays(order, "tok_timeout")
        .await
        .assert_refused(503, None);
    let again = bob.pays(order, "tok_visa").await;

    again.assert_refused(409, None);
    system.until_story(order, &Story::complete()).await;
}

#[tokio::test]
async fn request_that_never_reaches_the_bank_lapses_and_another_one_is_charged() {
    let system = System::shared().await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;

    bob.pays(order, "tok_lost").await.assert_refused(503, None);
    let lapsed = Story::awaiting_payment().with_payment("lapsed");
    system.until_story(order, &lapsed).await;
    assert_eq!(bob.pays(order, "tok_visa").await.status, 201);

    system.until_story(order, &Story::complete()).await;
}

#[tokio::test]
async fn of_many_payments_at_once_one_is_charged() {
    let system = System::shared().await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;

    let replies = join_all((0..8).map(|_| bob.pays(order, "tok_visa"))).await;

    let mut statuses: Vec<_> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    system.until_story(order, &Story::complete()).await;
}

#[tokio::test]
async fn order_cancelled_before_payments_service_hears_of_it_is_charged_and_refunded() {
    let system = System::start().await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;
    system.broker().pause(ORDERS, PAYMENTS_SERVICE).await;
    assert_eq!(bob.cancels(order).await.status, 204);

    assert_eq!(bob.pays(order, "tok_visa").await.status, 201);

    system.broker().resume(ORDERS, PAYMENTS_SERVICE).await;
    system.until_story(order, &Story::refunded()).await;
    system.stop().await;
}

async fn check_cancelled_during_the_charge(side: Side) {
    let system = System::start().await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;
    system.gate().shut(side);

    let paying = bob.pays(order, "tok_visa");
    let cancelling = async {
        system.gate().somebody_waits().await;
        assert_eq!(bob.cancels(order).await.status, 204);
        let known = format!("SELECT status FROM payments.orders WHERE id = '{order}'");
        system
            .until_asked("payments-service knows", &known, &["cancelled"])
            .await;
        system.gate().open();
    };
    let (paid, ()) = tokio::join!(paying, cancelling);

    paid.assert_refused(409, None);
    system.until_story(order, &Story::refunded()).await;
    system.stop().await;
}

#[tokio::test]
async fn order_cancelled_while_it_is_charged_is_refunded() {
    tokio::join!(
        check_cancelled_during_the_charge(Side::BeforeTheBank),
        check_cancelled_during_the_charge(Side::BehindTheBank),
    );
}

#[tokio::test]
async fn order_cancelled_before_orders_service_hears_of_its_payment_is_refunded() {
    let system = System::start().await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;
    system.broker().pause(PAYMENTS, ORDERS_SERVICE).await;
    assert_eq!(bob.pays(order, "tok_visa").await.status, 201);

    assert_eq!(bob.cancels(order).await.status, 204);

    system.broker().resume(PAYMENTS, ORDERS_SERVICE).await;
    system.until_story(order, &Story::refunded()).await;
    system.stop().await;
}

#[tokio::test]
async fn buyer_who_pays_and_cancels_at_once_ends_with_one_of_the_two() {
    let system = System::start().await;
    let bob = system.user("bob");
    join_all((0..12).map(async |_| {
        let order = system.order_that_awaits_payment().await;

        let (paid, cancelled) = tokio::join!(bob.pays(order, "tok_visa"), bob.cancels(order));

        assert!([201, 409].contains(&paid.status.as_u16()), "{}", paid.text);
        assert!(
            [204, 409].contains(&cancelled.status.as_u16()),
            "{}",
            cancelled.text
        );
        until_ended(&system, order).await;
    }))
    .await;
    system.stop().await;
}

/// Long enough to get an order ready to be paid on a busy machine.
const TTL: Duration = Duration::from_secs(3);

async fn check_expired_during_the_charge(side: Side) {
    let system = System::builder().order_ttl(TTL).start().await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;
    system.gate().shut(side);

    let paying = bob.pays(order, "tok_visa");
    let expiring = async {
        system.gate().somebody_waits().await;
        let known = format!("SELECT status FROM payments.orders WHERE id = '{order}'");
        system
            .until_asked("the order has expired", &known, &["cancelled"])
            .await;
        system.gate().open();
    };
    let (paid, ()) = tokio::join!(paying, expiring);

    paid.assert_refused(409, None);
    system.until_story(order, &Story::refunded()).await;
    system.stop().await;
}

#[tokio::test]
async fn order_that_expires_while_it_is_charged_is_refunded() {
    tokio::join!(
        check_expired_during_the_charge(Side::BeforeTheBank),
        check_expired_during_the_charge(Side::BehindTheBank),
    );
}

#[tokio::test]
async fn order_that_expires_before_orders_service_hears_of_its_payment_is_refunded() {
    let system = System::builder().order_ttl(TTL).start().await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;
    system.broker().pause(PAYMENTS, ORDERS_SERVICE).await;
    assert_eq!(bob.pays(order, "tok_visa").await.status, 201);

    let due = format!("SELECT status FROM payments.payments WHERE order_id = '{order}'");
    system
        .until_asked("the expired order is refunded", &due, &["refunded"])
        .await;

    system.broker().resume(PAYMENTS, ORDERS_SERVICE).await;
    system.until_story(order, &Story::refunded()).await;
    system.stop().await;
}

#[tokio::test]
async fn order_whose_time_is_over_is_not_charged_though_nobody_has_cancelled_it() {
    let system = System::builder().order_ttl(TTL).start().await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;
    system.broker().pause(EXPIRATIONS, ORDERS_SERVICE).await;
    until_moment(expiry(&system, order).await).await;

    bob.pays(order, "tok_visa").await.assert_refused(409, None);

    system.until_story(order, &Story::awaiting_payment()).await;
    system.broker().resume(EXPIRATIONS, ORDERS_SERVICE).await;
    system.until_story(order, &Story::cancelled()).await;
    system.stop().await;
}

#[tokio::test]
async fn payments_at_the_moment_of_expiry_end_one_way_or_the_other() {
    let system = System::builder().order_ttl(TTL).start().await;
    let bob = system.user("bob");
    let orders = join_all((0..12).map(async |_| {
        let order = bob.orders(system.ticket_on_sale().await).await;
        let known = format!("SELECT id FROM payments.orders WHERE id = '{order}'");
        let order_id = order.to_string();
        system
            .until_asked("payments-service knows it", &known, &[&order_id])
            .await;
        order
    }))
    .await;

    let ends = join_all(orders.iter().zip(-6..).map(async |(&order, nth)| {
        // Schedules fire at whole seconds, and up to a second later: the payments spread over both.
        let moment = expiry(&system, order).await + SignedDuration::from_millis(100 * nth);
        until_moment(moment).await;
        let paid = bob.pays(order, "tok_visa").await;
        assert!([201, 409].contains(&paid.status.as_u16()), "{}", paid.text);
        let end = until_ended(&system, order).await;
        (paid.status.as_u16(), end.bank)
    }))
    .await;

    for (status, bank) in ends {
        assert!(
            status == 409 || bank.0 == 1,
            "{status} {bank:?}: 201 says that it was charged"
        );
    }
    system.stop().await;
}

// Guard: the payment is written as `charging`, with its idempotency key, before the bank is asked.
#[tokio::test]
async fn payments_process_killed_between_charge_and_commit_has_charged_once() {
    let system = System::builder().start_server().await;
    for service in [TICKETS_SERVICE, ORDERS_SERVICE] {
        system.start_service(service).await;
    }
    let patience = [("GATEWAY_TIMEOUT", "6s")];
    let path = program(PAYMENTS_SERVICE);
    let mut killed = system.run_program(PAYMENTS_SERVICE, path, &patience).await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;

    // The bank charges, and its answer never arrives: nothing can be committed until the process dies.
    let paying = bob.tries_to_pay(order, "tok_timeout");
    let killing = async {
        let charged =
            format!("SELECT COUNT(*) || '' FROM bank.requests WHERE order_id = '{order}'");
        system
            .until_asked("the bank has charged", &charged, &["1"])
            .await;
        killed.kill();
    };
    let (answer, ()) = tokio::join!(paying, killing);
    assert!(answer.is_err(), "{answer:?}: nobody is left to answer");
    let charging = Story {
        bank: (1, 0),
        ..Story::awaiting_payment().with_payment("charging")
    };
    system.until_story(order, &charging).await;

    let restarted = system.run_program(PAYMENTS_SERVICE, path, &patience).await;

    bob.pays(order, "tok_visa").await.assert_refused(409, None);
    system.until_story(order, &Story::complete()).await;
    assert!(restarted.terminate().await.success());
    system.stop().await;
}

async fn expiry(system: &System, order: OrderId) -> Timestamp {
    let order = system.user("bob").order(order).await;
    order["expiresAt"].as_str().unwrap().parse().unwrap()
}

async fn until_moment(moment: Timestamp) {
    until(&format!("it is {moment}"), async || {
        match Timestamp::now() {
            now if now < moment => Err(now),
            _ => Ok(()),
        }
    })
    .await;
}

/// Waits for one of the ends that are right, and says which it is.
async fn until_ended(system: &System, order: OrderId) -> Story {
    let ends = [Story::complete(), Story::cancelled(), Story::refunded()];
    until(
        &format!("order {order} has come to an end"),
        async || match system.books().story(order).await {
            Some(story) if ends.contains(&story) => Ok(story),
            other => Err(other),
        },
    )
    .await
}
