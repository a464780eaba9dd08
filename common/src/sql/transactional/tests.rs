use std::sync::Arc;

use super::super::fixture::{
    BANK, Book, CountViews, Deposited, Newest, Scratch, Viewed, WriteAndFail, deposit, enter,
    entries, hand, incoming, viewed,
};
use super::*;
use crate::failure::FailureKind;
use crate::message::Incoming;

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

/// Books deposits as they come.
struct AnyOrder;

impl TransactionalListener for AnyOrder {
    type Event = Deposited;

    const QUEUE_GROUP: QueueGroup = BANK;
    const ORDER: Order = Order::Any;

    async fn apply(&self, event: Deposited, tx: &mut Tx<'_>) -> Result<(), Failure> {
        enter(tx, &event.account, event.amount).await
    }
}

/// What the guard of one stream cannot know, and why an event that it lets through has an inbox row too.
#[tokio::test]
async fn event_that_was_applied_in_order_is_known_without_the_guard() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let event = incoming(&deposit("ann", 1), 1);
    let book = InTransaction::new(&database, Book);
    assert_eq!(hand(&book, &event).await.unwrap(), DONE);

    let unordered = InTransaction::new(&database, AnyOrder);
    let again = hand(&unordered, &event).await.unwrap();

    assert_eq!(again, Handled::Duplicate);
    assert_eq!(entries(&database, "ann").await, [10]);
}

#[tokio::test]
async fn second_event_of_a_version_is_never_applied_and_told_from_a_duplicate() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let book = InTransaction::new(&database, Book);
    let event = |number, sequence| incoming(&deposit("ann", number), sequence);
    let (first, another) = (event(1, 1), event(1, 2));
    let (early, other_early) = (event(3, 3), event(3, 4));

    assert_eq!(hand(&book, &first).await.unwrap(), DONE);
    assert_eq!(hand(&book, &first).await.unwrap(), Handled::AlreadyApplied);
    assert_eq!(hand(&book, &another).await.unwrap(), Handled::PassedOver);
    assert_eq!(hand(&book, &early).await.unwrap(), Handled::Held);
    assert_eq!(hand(&book, &early).await.unwrap(), Handled::Held);
    assert_eq!(
        hand(&book, &other_early).await.unwrap(),
        Handled::PassedOver
    );

    assert_eq!(entries(&database, "ann").await, [10]);
}

#[tokio::test]
async fn id_that_comes_under_a_second_version_is_not_applied_and_leaves_no_gap() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let book = InTransaction::new(&database, Book);
    let first = incoming(&deposit("ann", 1), 1);
    let second = Incoming {
        metadata: Arc::clone(&first.metadata),
        ..incoming(&deposit("ann", 2), 2)
    };
    let third = incoming(&deposit("ann", 3), 3);

    assert_eq!(hand(&book, &first).await.unwrap(), DONE);
    assert_eq!(hand(&book, &second).await.unwrap(), Handled::Duplicate);
    assert_eq!(hand(&book, &third).await.unwrap(), DONE);

    assert_eq!(entries(&database, "ann").await, [10, 30]);
}
