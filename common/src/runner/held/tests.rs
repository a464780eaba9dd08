use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::super::monitor::tests::worker;
use super::super::worker::Handler;
use super::*;
use crate::client::answering::answered_by;
use crate::handle::Verdict;
use crate::sql::{Database, ScratchDatabase};
use crate::{TICKETS, TICKETS_SERVICE};

const NOT_FOUND: &str = r#"{"error":{"code":404,"err_code":10037}}"#;
const FOUND: &str = r#"{"message":{"subject":"redrive","seq":9,"time":"2026-01-01T00:00:00Z"}}"#;
const NO_LETTERS: &str = r#"{"state":{}}"#;

/// Of a group that has settled everything before the eighth event.
const CONSUMER: &str = r#"{"config":{},"created":"","delivered":{"stream_seq":8},
    "ack_floor":{"stream_seq":8},"num_ack_pending":0,"num_pending":0}"#;

/// What a server says of which nothing is left but that consumer.
fn nothing_left(subject: &str) -> &'static str {
    match subject {
        _ if subject.contains(".CONSUMER.INFO.") => CONSUMER,
        _ if subject.contains(".STREAM.INFO.") => NO_LETTERS,
        _ => NOT_FOUND,
    }
}

fn ledger(database: &Database) -> GroupLedger {
    GroupLedger {
        database: database.clone(),
        queue_group: TICKETS_SERVICE,
        stream: TICKETS,
    }
}

/// Holds `version` of a key of which nothing but version 1 was applied.
async fn hold(database: &Database, key: &str, version: i64) {
    let mut tx = database.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO event_guard (queue_group, stream, key, version, highest_held)
         VALUES ('tickets-service', 'TICKETS', $1, 1, $2)",
    )
    .bind(key)
    .bind(version)
    .execute(tx.connection())
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO event_held (queue_group, stream, key, version, channel, headers, payload,
             sequence, stored_at, held_at)
         VALUES ('tickets-service', 'TICKETS', $1, $2, 'order:created', '[]', '{}', 7, 1, 1)",
    )
    .bind(key)
    .bind(version)
    .execute(tx.connection())
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

/// As if another replica had applied version 2 of the key.
async fn apply_second(database: &Database, key: &str) {
    let mut tx = database.begin().await.unwrap();
    sqlx::query("UPDATE event_guard SET version = 2 WHERE key = $1")
        .bind(key)
        .execute(tx.connection())
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

async fn forget_held(database: &Database) {
    let mut tx = database.begin().await.unwrap();
    sqlx::query("DELETE FROM event_held")
        .execute(tx.connection())
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// Listens to changes, and is given none.
struct Changes;

#[async_trait]
impl Handler for Changes {
    fn carries(&self) -> Carries {
        Carries::Change
    }

    async fn handle(&self, _: &Incoming) -> Verdict {
        Verdict::Panicked("it is not its turn".to_owned())
    }
}

#[tokio::test]
async fn predecessor_that_is_redriven_between_two_looks_can_come() {
    let scratch = ScratchDatabase::create().await;
    let database = scratch.open("tickets-service", &[]).await;
    hold(&database, "a", 3).await;
    let mut redriven = false;
    let client = answered_by(move |subject, body| {
        // While the letters are looked for, the last step of a redrive removes the one there is.
        redriven |= subject.contains(".STREAM.INFO.");
        let copy = redriven && body.contains("redrive.tickets-service.*.a");
        let answer = if copy { FOUND } else { nothing_left(subject) };
        answer.to_owned()
    })
    .await;
    let ledger = ledger(&database);
    let orphan = ledger.orphans(PATIENCE, 1).await.unwrap().remove(0);
    let worker = worker(client, Attempts::Database(ledger));

    assert_eq!(worker.predecessor_can_come(&orphan).await, Ok(true));
}

#[tokio::test]
async fn predecessor_of_which_there_is_nothing_cannot_come() {
    let scratch = ScratchDatabase::create().await;
    let database = scratch.open("tickets-service", &[]).await;
    hold(&database, "a", 3).await;
    let client = answered_by(|subject, _| nothing_left(subject).to_owned()).await;
    let ledger = ledger(&database);
    let orphan = ledger.orphans(PATIENCE, 1).await.unwrap().remove(0);
    let worker = worker(client, Attempts::Database(ledger));

    assert_eq!(worker.predecessor_can_come(&orphan).await, Ok(false));
}

#[tokio::test]
async fn change_whose_predecessor_was_applied_meanwhile_is_not_dead() {
    let scratch = ScratchDatabase::create().await;
    let database = scratch.open("tickets-service", &[]).await;
    for key in ["a", "b"] {
        hold(&database, key, 4).await;
    }
    let letters = Arc::new(AtomicUsize::new(0));
    let stored = Arc::clone(&letters);
    let client = answered_by(move |subject, _| {
        assert!(subject.starts_with("dead-letter."), "{subject}");
        stored.fetch_add(1, Ordering::SeqCst);
        r#"{"stream":"DEAD_LETTERS","seq":1}"#.to_owned()
    })
    .await;
    let ledger = ledger(&database);
    let orphans = ledger.orphans(PATIENCE, 2).await.unwrap();
    let mut worker = worker(client, Attempts::Database(ledger.clone()));
    worker.handlers.insert("order:created", Arc::new(Changes));

    apply_second(&database, "a").await;
    for orphan in &orphans {
        worker.decide_orphan(&ledger, orphan).await.unwrap();
    }

    let left = ledger.orphans(PATIENCE, 2).await.unwrap();
    let left: Vec<_> = left.iter().map(|orphan| orphan.key.as_str()).collect();
    assert_eq!(left, ["a"]);
    assert_eq!(letters.load(Ordering::SeqCst), 1);
}

#[test]
fn nobody_else_tries_a_held_event_while_its_handler_may_run() {
    assert!(CLAIM > DEADLINE);
}

#[tokio::test]
async fn sweep_goes_on_while_there_is_more_than_a_batch_and_tells_of_what_stays() {
    let scratch = ScratchDatabase::create().await;
    let database = scratch.open("tickets-service", &[]).await;
    for number in 0..=BATCH {
        hold(&database, &format!("orphan{number}"), 3).await;
        hold(&database, &format!("due{number}"), 2).await;
    }
    let client = answered_by(|subject, _| nothing_left(subject).to_owned()).await;
    let ledger = ledger(&database);
    // Nobody listens to the channel, so that all of them stay.
    let worker = worker(client, Attempts::Database(ledger.clone()));

    worker.sweep_once(&ledger).await.unwrap();

    assert_eq!(ledger.due_held(1).await.unwrap(), []);
    assert_eq!(ledger.orphans(PATIENCE, 1).await.unwrap(), []);
    let health = worker.client.health();
    assert!(health.is_ready());
    let troubles = health.troubles();
    assert_eq!(
        troubles["held events of tickets-service"].message,
        "at least 100 wait for what comes before them, the oldest since 1970-01-01T00:00:00Z; is it among the dead letters?"
    );

    forget_held(&database).await;
    worker.sweep_once(&ledger).await.unwrap();
    assert!(health.troubles().is_empty(), "{:?}", health.troubles());
}

#[test]
fn number_that_grows_is_told_by_its_magnitude() {
    let told = [0, 1, 9, 10, 99, 100, u64::MAX].map(magnitude);
    assert_eq!(told, [0, 1, 1, 10, 10, 100, 10_u64.pow(19)]);
}
