//! Every invariant can fail: a sound system in files, with the real tables, and one thing wrong at a time.

use std::path::Path;
use std::time::Duration;

use common::{Database, Subjects};
use jiff::Timestamp;
use payments_service::SandboxLedger;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use super::super::broker::{Consumer, Event};
use super::super::facts::{
    Databases, Facts, LEDGER_DB, ORDERS_DB, OrderState, PAYMENTS_DB, TICKETS_DB,
};
use super::super::plan::Weather;
use super::super::sale::{Account, Asked, Ids};
use super::{Verdict, judge};

mod money;
mod people;

const TICKETS: &str = include_str!("../../../../tickets-service/migrations/0001_tickets.sql");
const ORDERS: &str = include_str!("../../../../orders-service/migrations/0001_orders.sql");
const PAYMENTS: &str = include_str!("../../../../payments-service/migrations/0001_payments.sql");

/// Ticket `sold` is sold by order `paid`, charge `ch_1`. The only order of ticket `back`, `late`, was
/// cancelled when it was charged already, and `ch_2` was given back. Nobody wants ticket `new`.
const SOUND: [(&str, &str); 4] = [
    (
        TICKETS_DB,
        "INSERT INTO tickets (id, version, title, price, user_id, status, order_id) VALUES
             ('sold', 2, 'Blues', 500, 'ann', 'sold', 'paid'),
             ('back', 3, 'Chess', 600, 'ann', 'for sale', NULL),
             ('new', 1, 'Harbour', 700, 'ann', 'for sale', NULL);
         INSERT INTO reservations (order_id, ticket_id) VALUES ('paid', 'sold')",
    ),
    (
        ORDERS_DB,
        "INSERT INTO tickets (id, version, title, price, order_id) VALUES
             ('sold', 2, 'Blues', 500, 'paid'),
             ('back', 3, 'Chess', 600, NULL),
             ('new', 1, 'Harbour', 700, NULL);
         INSERT INTO orders (id, version, status, user_id, ticket_id, price, expires_at, payment_id, refund_id) VALUES
             ('paid', 2, 'complete', 'bob', 'sold', 500, 0, 'payment-1', NULL),
             ('late', 2, 'cancelled', 'bob', 'back', 600, 0, NULL, 're_2')",
    ),
    (
        PAYMENTS_DB,
        "INSERT INTO tickets (id, title) VALUES ('sold', 'Blues'), ('back', 'Chess'), ('new', 'Harbour');
         INSERT INTO orders (id, user_id, ticket_id, price, expires_at, status) VALUES
             ('paid', 'bob', 'sold', 500, 0, 'complete'),
             ('late', 'bob', 'back', 600, 0, 'cancelled');
         INSERT INTO payments
             (id, order_id, amount, status, attempt, claim, deadline, due_at, looks, charge_id, refund_id) VALUES
             ('payment-1', 'paid', 500, 'charged', 1, 1, 0, NULL, 0, 'ch_1', NULL),
             ('payment-2', 'late', 600, 'refunded', 1, 1, 0, NULL, 0, 'ch_2', 're_2')",
    ),
    (
        LEDGER_DB,
        "INSERT INTO requests (key, order_id, amount, description, charge_id) VALUES
             ('paid:1', 'paid', 500, 'Blues', 'ch_1'),
             ('late:1', 'late', 600, 'Chess', 'ch_2');
         INSERT INTO refunds (key, order_id, amount, charge_id, refund_id) VALUES
             ('refund:late', 'late', 600, 'ch_2', 're_2')",
    ),
];

/// The ledger knows orders by real ids only; everybody else reads them by name.
const ORDER_IDS: [(&str, &str); 2] = [
    ("paid", "0198c0de-0000-7000-8000-00000000000a"),
    ("late", "0198c0de-0000-7000-8000-00000000000b"),
];

const PUBLISHED: [(Subjects, &str); 13] = [
    (Subjects::TicketCreated, "sold"),
    (Subjects::TicketCreated, "back"),
    (Subjects::TicketCreated, "new"),
    (Subjects::TicketUpdated, "sold"),
    (Subjects::TicketUpdated, "back"),
    (Subjects::TicketUpdated, "back"),
    (Subjects::OrderCreated, "paid"),
    (Subjects::OrderCreated, "late"),
    (Subjects::OrderCompleted, "paid"),
    (Subjects::OrderCancelled, "late"),
    (Subjects::PaymentCreated, "paid"),
    (Subjects::PaymentCreated, "late"),
    (Subjects::PaymentRefunded, "late"),
];

fn url(folder: &Path, database: &str) -> String {
    format!("sqlite://{}", folder.join(database).display())
}

async fn write(folder: &Path, database: &str, statements: &str) {
    let options = SqliteConnectOptions::new()
        .filename(folder.join(database))
        .foreign_keys(false);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let statements = ORDER_IDS
        .iter()
        .fold(statements.to_owned(), |text, (name, id)| {
            text.replace(&format!("'{name}'"), &format!("'{id}'"))
        });
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
}

/// A sound system, but for what `database` is told.
async fn facts(database: &str, statements: &str) -> Facts {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (database, tables) in [
        (TICKETS_DB, TICKETS),
        (ORDERS_DB, ORDERS),
        (PAYMENTS_DB, PAYMENTS),
    ] {
        Database::connect(&url(folder, database)).await.unwrap();
        write(folder, database, tables).await;
    }
    SandboxLedger::open(&url(folder, LEDGER_DB)).await.unwrap();
    for (database, rows) in SOUND {
        write(folder, database, rows).await;
    }
    write(folder, database, statements).await;

    let databases = Databases::open(folder).await.unwrap();
    let mut facts = Facts::read_databases(&databases).await.unwrap();
    let published = PUBLISHED.iter().zip(1..);
    facts.events = published
        .map(|(&(subject, key), nth)| event(subject, key, nth))
        .collect();
    facts.consumers = consumers();
    facts
}

fn id_of(name: &str) -> &str {
    ORDER_IDS
        .iter()
        .find(|(order, _)| *order == name)
        .map_or(name, |(_, id)| id)
}

/// The `nth` that was written.
fn event(subject: Subjects, name: &str, nth: u32) -> Event {
    Event {
        subject,
        key: id_of(name).to_owned(),
        named: (String::new(), String::new()),
        identity: (String::new(), nth.to_string()),
        cause: None,
        version: None,
        payload: serde_json::Value::Null,
        written: None,
        stored: Timestamp::UNIX_EPOCH,
    }
}

fn consumers() -> Vec<Consumer> {
    [
        ("ORDERS", "tickets-service"),
        ("ORDERS", "payments-service"),
        ("TICKETS", "orders-service"),
        ("TICKETS", "payments-service"),
        ("EXPIRATIONS", "orders-service"),
        ("PAYMENTS", "orders-service"),
    ]
    .map(|(stream, group)| Consumer {
        stream: stream.to_owned(),
        group: group.to_owned(),
        pending: 0,
        unacknowledged: 0,
        deliveries: 12,
    })
    .into()
}

fn asked(price: u32) -> Asked {
    Asked {
        seller: "ann".to_owned(),
        price,
    }
}

/// What people were told in a sound system.
fn told() -> Account {
    let ids = |names: &[&str]| Ids(names.iter().map(|name| id_of(name).to_owned()).collect());
    Account {
        listed: ids(&["sold", "back", "new"]),
        ordered: ids(&["paid", "late"]),
        paid: ids(&["paid", "late"]),
        cancelled: ids(&["late"]),
        seen_complete: ids(&["paid"]),
        seen_cancelled: ids(&["late"]),
        placed: [("paid", "sold"), ("late", "back")]
            .map(|(order, ticket)| {
                (
                    id_of(order).to_owned(),
                    ("bob".to_owned(), ticket.to_owned()),
                )
            })
            .into(),
        asked: [("Blues", 500), ("Chess", 600), ("Harbour", 650)]
            .map(|(title, price)| (title.to_owned(), asked(price)))
            .into(),
        prices: [("new".to_owned(), [700].into())].into(),
        ..Account::default()
    }
}

fn broken(facts: &Facts) -> Vec<Verdict> {
    broken_promises(facts, &told())
}

fn broken_promises(facts: &Facts, told: &Account) -> Vec<Verdict> {
    judge(facts, told, Weather::Calm)
        .into_iter()
        .filter(|verdict| !verdict.ok)
        .collect()
}

#[track_caller]
fn expect(facts: &Facts, invariant: &str, line: &str) {
    expect_of(&broken(facts), invariant, line);
}

#[track_caller]
fn expect_of(broken: &[Verdict], invariant: &str, line: &str) {
    let verdict = broken.iter().find(|verdict| verdict.invariant == invariant);
    let verdict = verdict.unwrap_or_else(|| panic!("{invariant:?} holds; broken: {broken:#?}"));
    let named = |line: &String| {
        ORDER_IDS
            .iter()
            .fold(line.clone(), |line, (name, id)| line.replace(id, name))
    };
    let lines: Vec<_> = verdict.broken.iter().map(named).collect();
    assert!(lines.iter().any(|found| found.contains(line)), "{lines:#?}");
}

#[tokio::test]
async fn sound_system_breaks_nothing() {
    assert_eq!(broken(&facts(TICKETS_DB, "").await), []);
}

#[tokio::test]
async fn ticket_with_two_paid_orders_is_found() {
    let facts = facts(
        ORDERS_DB,
        "DROP INDEX one_order_per_ticket;
         INSERT INTO orders (id, version, status, user_id, ticket_id, price, expires_at, payment_id)
             VALUES ('second', 2, 'complete', 'eve', 'sold', 500, 0, 'payment-3')",
    )
    .await;
    expect(
        &facts,
        "no ticket sold twice",
        "ticket sold has orders paid and second",
    );
}

#[tokio::test]
async fn ticket_that_two_have_paid_for_is_found() {
    let mut facts = facts(LEDGER_DB, "DELETE FROM refunds").await;
    facts.orders[0].ticket = "sold".to_owned();
    facts.orders[1].ticket = "sold".to_owned();
    expect(
        &facts,
        "no ticket sold twice",
        "ticket sold is paid by charges ch_1 and ch_2",
    );
}

#[tokio::test]
async fn replica_that_lags_behind_is_found() {
    let facts = facts(
        ORDERS_DB,
        "UPDATE tickets SET version = 1, order_id = NULL WHERE id = 'sold'",
    )
    .await;
    expect(
        &facts,
        "every ticket's state agrees across the three services",
        "ticket sold is",
    );
}

#[tokio::test]
async fn ticket_without_replica_is_found() {
    let facts = facts(ORDERS_DB, "DELETE FROM tickets WHERE id = 'new'").await;
    let invariant = "every ticket's state agrees across the three services";
    expect(
        &facts,
        invariant,
        "ticket new is in tickets-service and not in orders-service",
    );
}

#[tokio::test]
async fn stale_title_is_found() {
    let facts = facts(
        PAYMENTS_DB,
        "UPDATE tickets SET title = 'Old' WHERE id = 'new'",
    )
    .await;
    expect(
        &facts,
        "every ticket's state agrees across the three services",
        "title of ticket new",
    );
}

#[tokio::test]
async fn ticket_sold_to_nobody_is_found() {
    let facts = facts(
        TICKETS_DB,
        "UPDATE tickets SET status = 'sold', order_id = 'late' WHERE id = 'back'",
    )
    .await;
    expect(
        &facts,
        "every ticket's state agrees across the three services",
        "ForSale by the orders",
    );
}

#[tokio::test]
async fn reservation_of_a_cancelled_order_is_found() {
    let facts = facts(
        TICKETS_DB,
        "INSERT INTO reservations (order_id, ticket_id) VALUES ('late', 'back')",
    )
    .await;
    expect(
        &facts,
        "every ticket's state agrees across the three services",
        "reserved by order late is in tickets-service and not in orders-service",
    );
}

#[tokio::test]
async fn order_that_never_ends_is_found() {
    let mut facts = facts(TICKETS_DB, "").await;
    facts.orders[1].state = OrderState::Open;
    expect(
        &facts,
        "every order has come to its end",
        "order late is neither complete nor cancelled",
    );
}

#[tokio::test]
async fn order_that_is_cancelled_on_one_side_only_is_found() {
    let facts = facts(
        PAYMENTS_DB,
        "UPDATE orders SET status = 'open' WHERE id = 'late'",
    )
    .await;
    expect(
        &facts,
        "every order's state agrees across the services",
        "order late is",
    );
}

#[tokio::test]
async fn ticket_that_was_given_away_is_found() {
    let facts = facts(LEDGER_DB, "DELETE FROM requests WHERE order_id = 'paid'").await;
    let invariant = "every charge's order is complete or refunded, never both";
    expect(
        &facts,
        invariant,
        "order paid is complete and was never charged",
    );
}

#[tokio::test]
async fn lost_event_is_found() {
    let mut facts = facts(TICKETS_DB, "").await;
    facts
        .events
        .retain(|event| event.subject != Subjects::OrderCompleted);
    let invariant = "every change was published, and nothing else";
    expect(&facts, invariant, "order:completed of paid is in no stream");
}

#[tokio::test]
async fn invented_event_is_found() {
    let mut facts = facts(TICKETS_DB, "").await;
    facts
        .events
        .push(event(Subjects::PaymentRefunded, "paid", 99));
    let invariant = "every change was published, and nothing else";
    expect(&facts, invariant, "payment:refunded of paid has no row");
}

#[tokio::test]
async fn event_that_was_made_twice_is_found() {
    let mut facts = facts(TICKETS_DB, "").await;
    let again = |subject, nth| event(subject, "paid", nth);
    facts.events.extend([
        again(Subjects::PaymentCreated, 98),
        again(Subjects::ExpirationComplete, 99),
        again(Subjects::ExpirationComplete, 100),
    ]);
    let invariant = "every change was published, and nothing else";
    expect(
        &facts,
        invariant,
        "payment:created of paid is there 2 times, not 1",
    );
    expect(
        &facts,
        invariant,
        "expiration:complete of paid is there 2 times, not 1",
    );
}

#[tokio::test]
async fn update_that_is_missing_among_others_is_found() {
    let mut facts = facts(TICKETS_DB, "").await;
    let of_back = |event: &Event| event.subject == Subjects::TicketUpdated && event.key == "back";
    let first = facts.events.iter().position(of_back).unwrap();
    facts.events.remove(first);
    let invariant = "every change was published, and nothing else";
    expect(
        &facts,
        invariant,
        "ticket:updated of back is there 1 times, not 2",
    );
}

#[tokio::test]
async fn event_that_was_sent_again_is_no_other() {
    let mut facts = facts(TICKETS_DB, "").await;
    facts.events.push(facts.events[0].clone());
    assert_eq!(broken(&facts), []);
}

/// Order `late` was let expire.
#[track_caller]
fn check_expiry(facts: &Facts, line: Option<&str>) {
    let mut told = told();
    told.let_expire.0.insert(id_of("late").to_owned());
    let broken = broken_promises(facts, &told);
    match line {
        None => assert_eq!(broken, []),
        Some(line) => {
            expect_of(
                &broken,
                "every order that was let expire was cancelled on time",
                line,
            );
        }
    }
}

#[tokio::test]
async fn late_cancellation_is_forgiven_in_rough_weather() {
    let mut facts = facts(TICKETS_DB, "").await;
    let expiration = event(Subjects::ExpirationComplete, "late", 99);
    facts.events.push(expiration);
    for event in &mut facts.events {
        event.stored += Duration::from_secs(30);
    }
    let mut told = told();
    told.let_expire.0.insert(id_of("late").to_owned());

    let verdicts = judge(&facts, &told, Weather::Rough);

    assert!(verdicts.iter().all(|verdict| verdict.ok), "{verdicts:#?}");
}

#[tokio::test]
async fn order_that_was_not_cancelled_by_its_schedule_is_found() {
    let mut facts = facts(TICKETS_DB, "").await;
    check_expiry(&facts, Some("order late has 0 expiration:complete, not 1"));

    let expiration = event(Subjects::ExpirationComplete, "late", 99);
    facts.events.push(expiration);
    check_expiry(&facts, None);

    let cancelled = |event: &&mut Event| event.subject == Subjects::OrderCancelled;
    let cancelled = facts.events.iter_mut().find(cancelled).unwrap();
    cancelled.stored += Duration::from_secs(30);
    check_expiry(&facts, Some("order late was cancelled 30 s after its time"));

    facts
        .events
        .retain(|event| event.subject != Subjects::OrderCancelled);
    check_expiry(
        &facts,
        Some("order late was let expire, and was never cancelled"),
    );
}

#[tokio::test]
async fn unsent_event_is_found() {
    let facts = facts(
        ORDERS_DB,
        "INSERT INTO event_outbox (stream, channel, key, event_id, headers, payload)
             VALUES ('ORDERS', 'order:created', 'paid', 'event', '', '')",
    )
    .await;
    expect(
        &facts,
        "outboxes empty",
        "orders-service has 1 unsent events",
    );
}

#[tokio::test]
async fn consumer_that_is_behind_is_found() {
    let mut facts = facts(TICKETS_DB, "").await;
    facts.consumers[0].pending = 3;
    expect(
        &facts,
        "consumers caught up",
        "tickets-service on ORDERS: 3 events not delivered",
    );
    facts.consumers[0].unacknowledged = 2;
    expect(&facts, "consumers caught up", "2 not acknowledged");
}

#[tokio::test]
async fn group_that_listens_to_nothing_is_found() {
    let mut facts = facts(TICKETS_DB, "").await;
    facts.consumers.remove(2);
    expect(
        &facts,
        "consumers caught up",
        "orders-service has no consumer on TICKETS",
    );
}

#[tokio::test]
async fn consumer_of_nobody_is_found() {
    let mut facts = facts(TICKETS_DB, "").await;
    facts.consumers[0].group = "nobody".to_owned();
    expect(
        &facts,
        "consumers caught up",
        "nobody has a consumer on ORDERS",
    );
}

#[tokio::test]
async fn event_that_waits_for_ever_is_found() {
    let facts = facts(
        PAYMENTS_DB,
        "INSERT INTO event_held
             (queue_group, stream, key, version, channel, headers, payload, sequence, stored_at, held_at)
             VALUES ('payments-service', 'ORDERS', 'late', 3, 'order:cancelled', '', '', 1, 0, 0)",
    )
    .await;
    expect(
        &facts,
        "consumers caught up",
        "payments-service holds 1 events",
    );
}

#[tokio::test]
async fn dead_letter_is_found() {
    let mut facts = facts(TICKETS_DB, "").await;
    facts
        .dead_letters
        .push("dead-letter.tickets-service.order:created.paid: no".to_owned());
    expect(&facts, "no dead letters", "order:created.paid: no");
}
