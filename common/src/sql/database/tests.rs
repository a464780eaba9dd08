use super::super::fixture::{
    BANK, Book, Deposited, Reminded, Scratch, Viewed, deposit, enter, entries, eventually, hand,
    incoming, viewed,
};
use super::super::{InTransaction, TransactionalListener, is_unavailable};
use super::*;
use crate::failure::{Failure, FailureKind};
use crate::publisher::{PublishError, Publisher as _};

#[tokio::test]
async fn event_is_in_the_outbox_if_and_only_if_the_transaction_commits() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;

    let mut tx = database.begin().await.unwrap();
    enter(&mut tx, "ann", 70).await.unwrap();
    tx.publish(&deposit("ann", 1)).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = database.begin().await.unwrap();
    tx.publish(&deposit("ann", 1)).await.unwrap();
    drop(tx);
    assert_eq!(database.pending_events().await.unwrap(), 0);

    let mut tx = database.begin().await.unwrap();
    enter(&mut tx, "ann", 70).await.unwrap();
    tx.publish(&deposit("ann", 1)).await.unwrap();
    tx.publish_at(
        &Reminded {
            account: "ann".to_owned(),
        },
        jiff::Timestamp::now(),
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();

    assert_eq!(entries(&database, "ann").await, [70]);
    assert_eq!(database.pending_events().await.unwrap(), 2);
}

#[tokio::test]
async fn version_is_published_once_and_a_failed_publish_undoes_the_transaction() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let mut tx = database.begin().await.unwrap();
    tx.publish(&deposit("ann", 1)).await.unwrap();
    tx.publish(&viewed("ann")).await.unwrap();
    tx.publish(&viewed("ann")).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = database.begin().await.unwrap();
    enter(&mut tx, "ann", 70).await.unwrap();
    let err = tx.publish(&deposit("ann", 1)).await.unwrap_err();
    tx.publish(&deposit("ann", 2)).await.unwrap();
    let not_committed = tx.commit().await;

    assert!(matches!(err, PublishError::VersionTaken { .. }), "{err:?}");
    assert!(!err.is_retryable());
    assert!(not_committed.is_err());
    assert_eq!(entries(&database, "ann").await, [0; 0]);
    assert_eq!(database.pending_events().await.unwrap(), 3);
}

#[tokio::test]
async fn event_due_later_than_its_stream_keeps_it_is_refused_in_the_transaction() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let event = Reminded {
        account: "ann".to_owned(),
    };
    let days = |days: i64| jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
    let mut tx = database.begin().await.unwrap();
    tx.publish_at(&event, days(30)).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = database.begin().await.unwrap();
    enter(&mut tx, "ann", 70).await.unwrap();
    let refused = tx.publish_at(&event, days(31)).await.unwrap_err();
    let not_committed = tx.commit().await;

    assert!(
        matches!(&refused, PublishError::DueTooLate { stream, .. } if stream == "REMINDERS"),
        "{refused:?}"
    );
    assert!(not_committed.is_err());
    assert_eq!(entries(&database, "ann").await, [0; 0]);
    assert_eq!(database.pending_events().await.unwrap(), 1);
}

/// Enters `amount`, and then runs into a unique index without looking.
async fn enter_and_stumble(tx: &mut Tx<'_>, amount: i64) {
    enter(tx, "ann", amount).await.unwrap();
    let stumbled = sqlx::query("INSERT INTO once VALUES ('ann')")
        .execute(tx.connection())
        .await;
    assert!(stumbled.is_err(), "the index lets everything in");
}

#[tokio::test]
async fn commit_is_an_error_where_a_swallowed_one_has_undone_the_transaction() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let once = &["CREATE TABLE once (account TEXT PRIMARY KEY)"];
    database.migrate("once", once).await.unwrap();
    let mut tx = database.begin().await.unwrap();
    sqlx::query("INSERT INTO once VALUES ('ann')")
        .execute(tx.connection())
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let mut tx = database.begin().await.unwrap();
    enter_and_stumble(&mut tx, 1).await;
    let plain = tx.commit().await;
    let mut tx = database.begin().await.unwrap();
    tx.publish(&viewed("ann")).await.unwrap();
    enter_and_stumble(&mut tx, 2).await;
    let after_publishing = tx.commit().await;
    let mut tx = database.begin().await.unwrap();
    enter_and_stumble(&mut tx, 3).await;
    let publishing_after = tx.publish(&viewed("ann")).await;
    let all_of_it = tx.commit().await;

    let pending = database.pending_events().await.unwrap();
    match database.backend() {
        // A statement that fails is undone alone.
        Backend::Sqlite => {
            plain.unwrap();
            after_publishing.unwrap();
            publishing_after.unwrap();
            all_of_it.unwrap();
            assert_eq!(entries(&database, "ann").await, [1, 2, 3]);
            assert_eq!(pending, 2);
        }
        Backend::Postgres => {
            for commit in [plain, after_publishing] {
                let err = commit.unwrap_err();
                let code = err
                    .as_database_error()
                    .and_then(sqlx::error::DatabaseError::code);
                assert_eq!(code.as_deref(), Some("25P02"), "{err:?}");
                assert!(!is_unavailable(&err));
            }
            assert!(publishing_after.is_err());
            assert!(all_of_it.is_err());
            assert_eq!(entries(&database, "ann").await, [0; 0]);
            assert_eq!(pending, 0);
        }
    }
    // The connections are as good as new.
    for _ in 0..20 {
        let mut tx = database.begin().await.unwrap();
        enter(&mut tx, "bob", 1).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn clones_are_the_same_database() {
    let scratch = Scratch::new().await;
    let (database, other) = (scratch.open().await, scratch.open().await);
    assert!(database.is_same(&database.clone()));
    assert!(!database.is_same(&other));
}

#[tokio::test]
async fn reader_does_not_write() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    if database.backend() == Backend::Postgres {
        return;
    }
    let written = sqlx::query("INSERT INTO entries VALUES ('ann', 0, 1)")
        .execute(database.reader())
        .await;
    assert!(written.is_err());
}

#[tokio::test]
async fn two_processes_may_start_together() {
    let scratch = Scratch::new().await;
    let starting = (0..4).map(|_| Database::connect(scratch.url()));
    for database in futures::future::join_all(starting).await {
        let database = database.unwrap();
        database.ping().await.unwrap();
        database.begin().await.unwrap().commit().await.unwrap();
    }
}

#[tokio::test]
async fn newer_migrations_are_left_alone_and_changed_ones_are_refused() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let both = &["CREATE TABLE a (x BIGINT)", "CREATE TABLE b (x BIGINT)"];
    database.migrate("some-service", both).await.unwrap();
    database
        .migrate("some-service", &["CREATE TABLE a (x BIGINT)"])
        .await
        .unwrap();
    let changed = database
        .migrate("some-service", &["CREATE TABLE a (y BIGINT)"])
        .await;
    assert!(
        matches!(changed, Err(DatabaseError::Migrate(_))),
        "{changed:?}"
    );
    let broken = database
        .migrate("other-service", &["CREATE NONSENSE"])
        .await;
    assert!(
        matches!(broken, Err(DatabaseError::Migrate(_))),
        "{broken:?}"
    );
    database.migrate("some-service", both).await.unwrap();
}

/// How many connections write.
fn connections(database: &Database) -> usize {
    match database.backend() {
        Backend::Sqlite => 1,
        Backend::Postgres => 16,
    }
}

/// Selects all columns, whatever they are: what services are not to do.
async fn all_columns(tx: &mut Tx<'_>) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT * FROM entries WHERE account = $1")
        .bind("ann")
        .fetch_all(tx.connection())
        .await
        .map(drop)
}

#[tokio::test]
async fn statement_that_a_newer_replica_has_made_stale_is_not_the_fault_of_an_event() {
    let scratch = Scratch::new().await;
    let (database, newer) = (scratch.open().await, scratch.open().await);
    let mut tx = database.begin().await.unwrap();
    all_columns(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    newer
        .migrate("newer", &["ALTER TABLE entries ADD COLUMN note TEXT"])
        .await
        .unwrap();

    let connections = connections(&database);
    let mut stale = Ok(());
    let mut transactions = Vec::new();
    while stale.is_ok() && transactions.len() < connections {
        let mut tx = database.begin().await.unwrap();
        stale = all_columns(&mut tx).await;
        transactions.push(tx);
    }

    match database.backend() {
        // Prepares again by itself.
        Backend::Sqlite => stale.unwrap(),
        Backend::Postgres => {
            let err = stale.unwrap_err();
            assert!(is_unavailable(&err), "{err:?}");
        }
    }
}

/// A listener that selects all columns.
struct Careless;

impl TransactionalListener for Careless {
    type Event = Viewed;

    const QUEUE_GROUP: QueueGroup = BANK;

    async fn apply(&self, _: Viewed, tx: &mut Tx<'_>) -> Result<(), Failure> {
        Ok(all_columns(tx).await?)
    }
}

#[tokio::test]
async fn connections_with_a_stale_statement_are_well_again_after_one_try_each() {
    let scratch = Scratch::new().await;
    let (database, newer) = (scratch.open().await, scratch.open().await);
    let connections = connections(&database);
    let mut transactions = Vec::new();
    for _ in 0..connections {
        let mut tx = database.begin().await.unwrap();
        all_columns(&mut tx).await.unwrap();
        transactions.push(tx);
    }
    for tx in transactions {
        tx.commit().await.unwrap();
    }
    newer
        .migrate("newer", &["ALTER TABLE entries ADD COLUMN note TEXT"])
        .await
        .unwrap();

    let listener = InTransaction::new(&database, Careless);
    let event = incoming(&viewed("ann"), 1);
    let mut failures = 0;
    while let Err(failure) = hand(&listener, &event).await {
        assert_eq!(failure.kind(), FailureKind::Unavailable);
        failures += 1;
        assert!(failures <= connections, "a connection fails twice");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_url_is_said_at_once() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(
        &file,
        "this is no database, but long enough to be taken for a bad one",
    )
    .unwrap();

    let err = Database::connect("mysql://root:secret@db/tickets")
        .await
        .unwrap_err();
    assert!(matches!(err, DatabaseError::Unsupported { .. }), "{err:?}");
    assert!(!format!("{err} {err:?}").contains("secret"));

    if cfg!(feature = "sqlite") {
        let below = format!("sqlite://{}/below/a.db", file.display());
        let err = Database::connect(&below).await.unwrap_err();
        assert!(matches!(err, DatabaseError::Folder { .. }), "{err:?}");
        let err = Database::connect(&format!("sqlite://{}", folder.path().display()))
            .await
            .unwrap_err();
        assert!(matches!(err, DatabaseError::Connect { .. }), "{err:?}");
        let err = Database::connect(&format!("sqlite://{}", file.display()))
            .await
            .unwrap_err();
        assert!(matches!(err, DatabaseError::Connect { .. }), "{err:?}");
        let err = Database::connect("sqlite::memory:").await.unwrap_err();
        assert!(matches!(err, DatabaseError::Unsupported { .. }), "{err:?}");
    }
    if cfg!(feature = "postgres") {
        // Port 1 is nobody's.
        let err = Database::connect("postgres://ann:secret@127.0.0.1:1/tickets")
            .await
            .unwrap_err();
        assert!(matches!(err, DatabaseError::Connect { .. }), "{err:?}");
        assert!(!format!("{} {err:?}", crate::Chain(&err)).contains("secret"));
    }
}

#[tokio::test]
async fn locked_database_is_unavailable_and_well_again_when_the_lock_is_gone() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    if database.backend() == Backend::Postgres {
        return;
    }
    let listener = InTransaction::new(&database, Book);
    let sibling = scratch.open().await;
    let lock = sibling.begin().await.unwrap();

    let err = database.begin().await.unwrap_err();
    let failure = hand(&listener, &incoming(&deposit("ann", 1), 1))
        .await
        .unwrap_err();
    lock.rollback().await.unwrap();

    assert!(is_unavailable(&err), "{err:?}");
    assert_eq!(failure.kind(), FailureKind::Unavailable);
    hand(&listener, &incoming(&deposit("ann", 1), 1))
        .await
        .unwrap();
    assert_eq!(entries(&database, "ann").await, [10]);
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn connection_is_not_used_again_after_sqlite_rolled_back_by_itself() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    if database.backend() == Backend::Postgres {
        return;
    }
    // The file may grow by a few pages only: the same error as a full disk.
    let mut tx = database.begin().await.unwrap();
    sqlx::raw_sql("PRAGMA max_page_count = 60")
        .execute(tx.connection())
        .await
        .unwrap();
    let full = loop {
        let written = sqlx::query("INSERT INTO entries VALUES ($1, 0, 1)")
            .bind("x".repeat(10_000))
            .execute(tx.connection())
            .await;
        if let Err(err) = written {
            break err;
        }
    };
    // SQLite has rolled back by itself, and sqlx does not know.
    assert!(tx.commit().await.is_err());

    assert!(is_unavailable(&full), "{full:?}");
    let mut tx = database.begin().await.unwrap();
    enter(&mut tx, "ann", 1).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(entries(&database, "ann").await, [1]);
    assert_eq!(database.writer().size(), 1);
}

#[tokio::test]
async fn dropped_transaction_does_not_block_the_next() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    for _ in 0..20 {
        let mut tx = database.begin().await.unwrap();
        enter(&mut tx, "ann", 1).await.unwrap();
        drop(tx);
        let writing = async {
            let mut tx = database.begin().await?;
            sqlx::query("INSERT INTO entries VALUES ('bob', 0, 1)")
                .execute(tx.connection())
                .await?;
            tx.commit().await
        };
        // Given up at some point of its way.
        let _ = tokio::time::timeout(std::time::Duration::from_micros(300), writing).await;
    }
    eventually("a transaction commits", || async {
        let tx = database.begin().await.unwrap();
        tx.commit().await.is_ok()
    })
    .await;
    assert_eq!(entries(&database, "ann").await, [0; 0]);
}

/// Loses its connection once, after it has written.
#[cfg(feature = "postgres")]
struct Unlucky(std::sync::atomic::AtomicBool);

#[cfg(feature = "postgres")]
impl TransactionalListener for Unlucky {
    type Event = Deposited;

    const QUEUE_GROUP: QueueGroup = BANK;

    async fn apply(&self, event: Deposited, tx: &mut Tx<'_>) -> Result<(), Failure> {
        enter(tx, &event.account, event.amount).await?;
        if !self.0.swap(true, std::sync::atomic::Ordering::SeqCst) {
            sqlx::query("SELECT pg_terminate_backend(pg_backend_pid())")
                .execute(tx.connection())
                .await?;
        }
        Ok(())
    }
}

// Guard: `is_unavailable` knows a lost connection for an outage, which costs no attempt.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn connection_that_is_lost_in_a_transaction_is_an_outage_and_leaves_nothing() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    if database.backend() != Backend::Postgres {
        return;
    }
    let listener = InTransaction::new(&database, Unlucky(false.into()));
    let event = incoming(&deposit("ann", 1), 1);

    let failure = hand(&listener, &event).await.unwrap_err();

    assert_eq!(failure.kind(), FailureKind::Unavailable, "{failure:?}");
    assert_eq!(entries(&database, "ann").await, [0; 0]);
    hand(&listener, &event).await.unwrap();
    assert_eq!(entries(&database, "ann").await, [10]);
}
