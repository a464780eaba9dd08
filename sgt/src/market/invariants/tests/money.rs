//! Money that is not where it should be.

use super::*;

#[tokio::test]
async fn money_kept_for_a_cancelled_order_is_found() {
    let facts = facts(LEDGER_DB, "DELETE FROM refunds").await;
    let invariant = "every charge's order is complete or refunded, never both";
    expect(
        &facts,
        invariant,
        "charge ch_2 is not refunded, and its order late is Cancelled",
    );
}

#[tokio::test]
async fn refund_of_a_complete_order_is_found() {
    let facts = facts(
        LEDGER_DB,
        "INSERT INTO refunds VALUES ('refund:paid', 'paid', 500, 'ch_1', 're_1')",
    )
    .await;
    let invariant = "every charge's order is complete or refunded, never both";
    expect(
        &facts,
        invariant,
        "charge ch_1 is refunded, and its order paid is Complete",
    );
}

#[tokio::test]
async fn second_charge_of_an_order_is_found() {
    let facts = facts(
        LEDGER_DB,
        "INSERT INTO requests VALUES ('paid:2', 'paid', 500, 'Blues', 'ch_3')",
    )
    .await;
    let invariant = "no order charged twice, no charge given back twice";
    expect(&facts, invariant, "order paid was charged by ch_1 and ch_3");
}

#[tokio::test]
async fn second_refund_of_a_charge_is_found() {
    let facts = facts(
        LEDGER_DB,
        "INSERT INTO refunds VALUES ('again', 'late', 600, 'ch_2', 're_3')",
    )
    .await;
    let invariant = "no order charged twice, no charge given back twice";
    expect(
        &facts,
        invariant,
        "charge ch_2 was given back by re_2 and re_3",
    );
}

#[tokio::test]
async fn charge_that_payments_does_not_know_is_found() {
    let facts = facts(PAYMENTS_DB, "DELETE FROM payments WHERE order_id = 'paid'").await;
    let invariant = "the gateway's ledger agrees with the payments";
    expect(
        &facts,
        invariant,
        "charge of order paid is in the ledger and not in payments-service",
    );
}

#[tokio::test]
async fn charge_that_only_payments_knows_is_found() {
    let facts = facts(LEDGER_DB, "DELETE FROM requests WHERE order_id = 'paid'").await;
    let invariant = "the gateway's ledger agrees with the payments";
    expect(
        &facts,
        invariant,
        "charge of order paid is in payments-service and not in the ledger",
    );
}

#[tokio::test]
async fn wrong_amount_is_found() {
    let facts = facts(
        LEDGER_DB,
        "UPDATE requests SET amount = 5000 WHERE order_id = 'paid'",
    )
    .await;
    expect(
        &facts,
        "the gateway's ledger agrees with the payments",
        "charge of order paid is",
    );
}

#[tokio::test]
async fn charge_that_is_not_the_price_is_found() {
    let mut facts = facts(TICKETS_DB, "").await;
    facts.charges[0].amount = 5000;
    facts.payments[0].amount = 5000;
    expect(
        &facts,
        "every charge is the price of its order",
        "charge ch_1 of order paid is 5000, its price 500",
    );
}

#[tokio::test]
async fn payment_that_never_ends_is_found() {
    let facts = facts(
        PAYMENTS_DB,
        "UPDATE payments SET status = 'refund_due', refund_id = NULL, due_at = 1 WHERE order_id = 'late'",
    )
    .await;
    let invariant = "the gateway's ledger agrees with the payments";
    expect(
        &facts,
        invariant,
        "payment of order late has not come to an end",
    );
}

#[tokio::test]
async fn refund_that_the_order_was_not_told_of_is_found() {
    let facts = facts(
        ORDERS_DB,
        "UPDATE orders SET refund_id = NULL WHERE id = 'late'",
    )
    .await;
    let invariant = "every order knows its payment or refund";
    expect(
        &facts,
        invariant,
        "order late is in payments-service and not in orders-service",
    );
}
