use super::super::fixture::{
    BANK, Book, CountViews, Newest, Scratch, Viewed, WriteAndFail, deposit, entries, hand,
    incoming, viewed,
};
use super::*;
use crate::failure::FailureKind;

/// Nothing is held behind it.
const DONE: Handled = Handled::Done { successor: false };

async fn count(database: &Database, table: &'static str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
        .fetch_one(database.reader())
        .await
        .unwrap()
}

#[tokio::test]
async fn event_without_a_version_is_applied_once() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let listener = InTransaction::new(&database, CountViews);
    let event = incoming(&viewed("ann"), 1);

    assert_eq!(hand(&listener, &event).await.unwrap(), DONE);
    assert_eq!(hand(&listener, &event).await.unwrap(), Handled::Duplicate);
    let other = incoming(&viewed("ann"), 2);
    assert_eq!(hand(&listener, &other).await.unwrap(), DONE);

    assert_eq!(entries(&database, "ann").await, [1, 1]);
}

#[tokio::test]
async fn versions_are_applied_one_after_the_other() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let listener = InTransaction::new(&database, Book);
    let events: Vec<_> = (1..=3)
        .map(|number| incoming(&deposit("ann", number), number))
        .collect();

    assert_eq!(hand(&listener, &events[0]).await.unwrap(), DONE);
    assert_eq!(hand(&listener, &events[2]).await.unwrap(), Handled::Held);
    assert_eq!(hand(&listener, &events[2]).await.unwrap(), Handled::Held);
    assert_eq!(count(&database, "event_held").await, 1);
    assert_eq!(count(&database, "event_inbox").await, 1);
    let followed = Handled::Done { successor: true };
    assert_eq!(hand(&listener, &events[1]).await.unwrap(), followed);
    assert_eq!(hand(&listener, &events[2]).await.unwrap(), DONE);
    for event in &events {
        assert_eq!(
            hand(&listener, event).await.unwrap(),
            Handled::AlreadyApplied
        );
    }

    assert_eq!(entries(&database, "ann").await, [10, 20, 30]);
    assert_eq!(count(&database, "event_held").await, 0);
}

#[tokio::test]
async fn key_does_not_wait_for_another() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let listener = InTransaction::new(&database, Book);

    let early = incoming(&deposit("ann", 2), 1);
    assert_eq!(hand(&listener, &early).await.unwrap(), Handled::Held);
    let first = incoming(&deposit("bob", 1), 2);
    assert_eq!(hand(&listener, &first).await.unwrap(), DONE);
}

#[tokio::test]
async fn newest_version_is_applied_over_a_gap_and_an_older_one_is_passed_over() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let listener = InTransaction::new(&database, Newest);

    for (number, handled) in [
        (2, DONE),
        (1, Handled::AlreadyApplied),
        (5, DONE),
        (5, Handled::AlreadyApplied),
        (4, Handled::AlreadyApplied),
    ] {
        let event = incoming(&deposit("ann", number), number);
        assert_eq!(hand(&listener, &event).await.unwrap(), handled, "{number}");
    }

    assert_eq!(entries(&database, "ann").await, [20, 50]);
}

#[tokio::test]
async fn failure_leaves_no_trace() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let event = incoming(&deposit("ann", 1), 1);

    let failing = InTransaction::new(&database, WriteAndFail);
    let failure = hand(&failing, &event).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Reject);
    assert_eq!(entries(&database, "ann").await, [0; 0]);
    assert_eq!(count(&database, "event_inbox").await, 0);

    let listener = InTransaction::new(&database, Book);
    assert_eq!(hand(&listener, &event).await.unwrap(), DONE);
}

#[test]
fn handler_says_how_long_it_may_take() {
    struct Slow;

    impl TransactionalListener for Slow {
        type Event = Viewed;

        const QUEUE_GROUP: QueueGroup = BANK;
        const DEADLINE: Duration = Duration::from_hours(1);

        async fn apply(&self, _: Self::Event, _: &mut Tx<'_>) -> Result<(), Failure> {
            Ok(())
        }
    }

    assert_eq!(InTransaction::<Slow>::DEADLINE, Slow::DEADLINE);
    assert_eq!(InTransaction::<Book>::DEADLINE, Duration::from_mins(5));
}
