use super::super::fixture::{
    ACCOUNTS, BANK, Book, CountViews, Scratch, deposit, entries, eventually, hand, incoming,
    version, viewed,
};
use super::super::{InTransaction, TransactionalListener};
use super::*;
use crate::listener::Handled;
use crate::message::Incoming;

mod any_order;

fn ledger(database: &Database) -> GroupLedger {
    GroupLedger {
        database: database.clone(),
        queue_group: BANK,
        stream: ACCOUNTS,
    }
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn position(sequence: u64) -> Position {
    incoming(&viewed("ann"), sequence).metadata.position.clone()
}

/// The held event as the runner hands it over.
fn brought_back(event: HeldEvent) -> Incoming {
    Incoming::read(
        "account:deposited",
        event.key,
        event.position,
        event.attempts + 1,
        event.headers,
        event.payload,
    )
}

/// Hands the event over, and then every held successor, as the runner does.
async fn hand_with_successors<L: TransactionalListener>(
    ledger: &GroupLedger,
    listener: &InTransaction<L>,
    event: &Incoming,
) {
    // The runner asks only if one may be held; it must never be told less.
    let handled = hand(listener, event).await.unwrap();
    if handled != (Handled::Done { successor: true }) {
        if handled == (Handled::Done { successor: false }) {
            let missed = ledger.next_held(event.metadata.key()).await.unwrap();
            assert_eq!(missed, None);
        }
        return;
    }
    while let Some(next) = ledger.next_held(event.metadata.key()).await.unwrap() {
        let next = brought_back(next);
        // Another replica may have been quicker.
        hand(listener, &next).await.unwrap();
    }
}

async fn held_versions(database: &Database) -> Vec<i64> {
    sqlx::query_scalar("SELECT version FROM event_held ORDER BY version")
        .fetch_all(database.reader())
        .await
        .unwrap()
}

#[tokio::test]
async fn attempts_are_counted_per_message() {
    let scratch = Scratch::new().await;
    let ledger = ledger(&scratch.open().await);
    let (first, second) = (position(1), position(2));
    let re_created = Position {
        stored_at: Timestamp::now(),
        ..first.clone()
    };

    assert_eq!(ledger.begin_attempt(&first).await.unwrap(), 1);
    assert_eq!(ledger.begin_attempt(&first).await.unwrap(), 2);
    assert_eq!(ledger.begin_attempt(&second).await.unwrap(), 1);
    assert_eq!(ledger.begin_attempt(&re_created).await.unwrap(), 1);
    ledger.undo_attempt(&first).await.unwrap();
    assert_eq!(ledger.begin_attempt(&first).await.unwrap(), 2);
    ledger.forget_attempts(&first).await.unwrap();
    assert_eq!(ledger.begin_attempt(&first).await.unwrap(), 1);
    assert_eq!(ledger.begin_attempt(&second).await.unwrap(), 2);
    ledger.undo_attempt(&position(9)).await.unwrap();
}

#[tokio::test]
async fn held_event_comes_back_as_it_came() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let (ledger, listener) = (ledger(&database), InTransaction::new(&database, Book));
    let early = incoming(&deposit("ann", 2), 7);
    hand(&listener, &early).await.unwrap();

    assert_eq!(ledger.next_held(&key("ann")).await.unwrap(), None);
    assert_eq!(ledger.due_held(10).await.unwrap(), []);
    hand(&listener, &incoming(&deposit("ann", 1), 8))
        .await
        .unwrap();
    let held = ledger.next_held(&key("ann")).await.unwrap().unwrap();
    assert_eq!(
        ledger.due_held(10).await.unwrap(),
        std::slice::from_ref(&held)
    );
    assert_eq!(ledger.next_held(&key("bob")).await.unwrap(), None);

    assert_eq!(held.channel, "account:deposited");
    assert_eq!(held.version, version(2));
    assert_eq!(held.attempts, 0);
    let back = brought_back(held);
    assert_eq!(back.payload, early.payload);
    assert_eq!(*back.metadata, *early.metadata);
}

#[tokio::test]
async fn held_events_are_counted_until_they_are_applied() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let (ledger, listener) = (ledger(&database), InTransaction::new(&database, Book));
    let held = async || database.held_events(BANK).await.unwrap();
    let (count, oldest) = (0, None);
    assert_eq!(held().await, HeldEvents { count, oldest });
    let began = Timestamp::now();
    for (account, number) in [("ann", 3), ("ann", 2), ("bob", 2)] {
        let event = incoming(&deposit(account, number), number);
        hand(&listener, &event).await.unwrap();
    }

    let three = held().await;
    assert_eq!(three.count, 3);
    let oldest = three.oldest.unwrap();
    assert!(oldest >= began && oldest <= Timestamp::now(), "{oldest}");
    let others = database.held_events(QueueGroup::new("others"));
    assert_eq!(others.await.unwrap().count, 0);

    let first = incoming(&deposit("ann", 1), 4);
    hand_with_successors(&ledger, &listener, &first).await;
    let one = held().await;
    assert_eq!(one.count, 1);
    assert!(one.oldest > three.oldest, "it is another's");
}

#[tokio::test]
async fn held_event_is_tried_again_when_it_is_due() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let (ledger, listener) = (ledger(&database), InTransaction::new(&database, Book));
    for number in [2, 1] {
        let event = incoming(&deposit("ann", number), number);
        hand(&listener, &event).await.unwrap();
    }
    let held = ledger.next_held(&key("ann")).await.unwrap().unwrap();

    let later = Timestamp::now() + Duration::from_millis(50);
    ledger.postpone_held(&held, 3, later).await.unwrap();
    assert_eq!(ledger.next_held(&key("ann")).await.unwrap(), None);
    assert_eq!(ledger.due_held(10).await.unwrap(), []);

    eventually("it is due", || async {
        ledger.due_held(10).await.unwrap().len() == 1
    })
    .await;
    let held = ledger.next_held(&key("ann")).await.unwrap().unwrap();
    assert_eq!(held.attempts, 3);
    ledger.drop_held(&held).await.unwrap();
    assert_eq!(held_versions(&database).await, [0; 0]);
    assert_eq!(ledger.next_held(&key("ann")).await.unwrap(), None);
}

#[tokio::test]
async fn due_event_is_claimed_once_and_left_as_it_was() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let (ledger, listener) = (ledger(&database), InTransaction::new(&database, Book));
    for number in [2, 1] {
        let event = incoming(&deposit("ann", number), number);
        hand(&listener, &event).await.unwrap();
    }
    let seen = ledger.due_held(10).await.unwrap().remove(0);
    let until = Timestamp::now() + Duration::from_mins(1);

    let claimed = ledger.claim_held(seen.clone(), until).await.unwrap();
    let second = ledger.claim_held(seen.clone(), until).await.unwrap();

    let claimed = claimed.unwrap();
    assert_eq!(second, None, "it is somebody's");
    assert_eq!(ledger.due_held(10).await.unwrap(), []);
    ledger.leave_held(&seen, until).await.unwrap();
    assert_eq!(ledger.due_held(10).await.unwrap(), [], "it was not theirs");
    ledger.leave_held(&claimed, Timestamp::now()).await.unwrap();
    let due = ledger.due_held(10).await.unwrap().remove(0);
    assert_eq!(due.attempts, 0, "it was not tried");
}

#[tokio::test]
async fn dead_lettered_version_is_redriven_though_its_id_is_the_same() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let (ledger, listener) = (ledger(&database), InTransaction::new(&database, Book));
    let events: Vec<_> = (1..=3)
        .map(|number| incoming(&deposit("ann", number), number))
        .collect();
    for at in [1, 2, 0] {
        hand(&listener, &events[at]).await.unwrap();
    }
    let held = ledger.next_held(&key("ann")).await.unwrap().unwrap();
    ledger.drop_held(&held).await.unwrap();
    assert_eq!(held_versions(&database).await, [3]);

    hand_with_successors(&ledger, &listener, &events[1]).await;
    assert_eq!(entries(&database, "ann").await, [10, 20, 30]);
    assert_eq!(held_versions(&database).await, [0; 0]);
}

#[tokio::test]
async fn skipped_version_lets_its_successors_through() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let (ledger, listener) = (ledger(&database), InTransaction::new(&database, Book));
    for number in [3, 4] {
        let event = incoming(&deposit("ann", number), number);
        hand(&listener, &event).await.unwrap();
    }

    let (ann, bob) = (key("ann"), key("bob"));
    let skip = async |key, number| {
        let (group, stream) = (ledger.queue_group, ledger.stream);
        let skipped = database.skip_version(group, stream, key, version(number));
        skipped.await.unwrap()
    };
    assert!(!skip(&ann, 2).await);
    assert!(skip(&ann, 1).await);
    assert!(!skip(&ann, 1).await);
    assert!(skip(&ann, 2).await);
    assert!(skip(&bob, 1).await);

    let next = ledger.next_held(&ann).await.unwrap().unwrap();
    hand_with_successors(&ledger, &listener, &brought_back(next)).await;
    assert_eq!(entries(&database, "ann").await, [30, 40]);
}

#[tokio::test]
async fn orphan_is_the_lowest_held_version_of_a_key_and_can_be_a_new_base() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let (ledger, listener) = (ledger(&database), InTransaction::new(&database, Book));
    for (account, number) in [("ann", 7), ("ann", 5), ("bob", 3), ("cid", 2), ("cid", 1)] {
        let event = incoming(&deposit(account, number), number);
        hand(&listener, &event).await.unwrap();
    }

    let hour = Duration::from_hours(1);
    assert_eq!(ledger.orphans(hour, 10).await.unwrap(), []);
    let orphans = ledger.orphans(Duration::ZERO, 10).await.unwrap();
    let mut found: Vec<_> = orphans
        .iter()
        .map(|orphan| (orphan.key.as_str(), orphan.version.get()))
        .collect();
    found.sort_unstable();
    // It is version 2's turn of cid, so it is no orphan.
    assert_eq!(found, [("ann", 5), ("bob", 3)]);

    for orphan in &orphans {
        assert!(ledger.rebase(orphan).await.unwrap());
        let next = ledger.next_held(&orphan.key).await.unwrap().unwrap();
        hand_with_successors(&ledger, &listener, &brought_back(next)).await;
        assert!(!ledger.rebase(orphan).await.unwrap(), "nothing goes back");
    }
    assert_eq!(entries(&database, "ann").await, [50]);
    assert_eq!(entries(&database, "bob").await, [30]);
    let late = incoming(&deposit("ann", 4), 9);
    assert_eq!(hand(&listener, &late).await.unwrap(), Handled::PassedOver);
}

#[tokio::test]
async fn orphan_is_no_new_base_once_something_before_it_was_applied() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let (ledger, listener) = (ledger(&database), InTransaction::new(&database, Book));
    for number in [1, 2, 5] {
        let event = incoming(&deposit("ann", number), number);
        hand(&listener, &event).await.unwrap();
    }
    let orphan = ledger.orphans(Duration::ZERO, 10).await.unwrap().remove(0);
    assert!(ledger.still_waits(&orphan).await.unwrap());

    // Two dead letters are redriven, and the first of them arrives.
    let third = incoming(&deposit("ann", 3), 6);
    hand(&listener, &third).await.unwrap();

    assert!(!ledger.still_waits(&orphan).await.unwrap());
    assert!(!ledger.rebase(&orphan).await.unwrap());
    let fourth = incoming(&deposit("ann", 4), 7);
    hand_with_successors(&ledger, &listener, &fourth).await;
    assert_eq!(entries(&database, "ann").await, [10, 20, 30, 40, 50]);
}

#[tokio::test]
async fn orphan_that_was_looked_at_lets_others_pass_and_is_due_when_its_turn_comes() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let (ledger, listener) = (ledger(&database), InTransaction::new(&database, Book));
    let accounts = ["ann", "bob", "cid"];
    for account in accounts {
        let event = incoming(&deposit(account, 3), 3);
        hand(&listener, &event).await.unwrap();
    }
    let look = async || {
        let found = ledger.orphans(Duration::ZERO, 1).await.unwrap();
        let [orphan] = &found[..] else {
            panic!("{found:?}");
        };
        let later = Timestamp::now() + Duration::from_hours(1);
        ledger.leave_held(orphan, later).await.unwrap();
        orphan.key.as_str().to_owned()
    };

    assert_eq!([look().await, look().await, look().await], accounts);
    assert_eq!(ledger.orphans(Duration::ZERO, 1).await.unwrap(), []);

    // Applied one after the other, or passed over: nobody waits for the hour to end.
    for number in [1, 2] {
        let event = incoming(&deposit("ann", number), number);
        hand_with_successors(&ledger, &listener, &event).await;
    }
    assert_eq!(entries(&database, "ann").await, [10, 20, 30]);
    for number in [1, 2] {
        let (group, stream) = (ledger.queue_group, ledger.stream);
        let bob = key("bob");
        let skipped = database.skip_version(group, stream, &bob, version(number));
        assert!(skipped.await.unwrap());
    }
    let due = ledger.due_held(10).await.unwrap();
    assert_eq!(due.len(), 1, "{due:?}");
    assert_eq!(due[0].key, key("bob"));
}

#[tokio::test]
async fn cleaning_leaves_guards_and_what_is_young() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let (ledger, views) = (ledger(&database), InTransaction::new(&database, CountViews));
    let book = InTransaction::new(&database, Book);
    for sequence in 1..=3 {
        hand(&views, &incoming(&viewed("ann"), sequence))
            .await
            .unwrap();
        ledger.begin_attempt(&position(sequence)).await.unwrap();
    }
    let applied = incoming(&deposit("ann", 1), 4);
    hand(&book, &applied).await.unwrap();
    // More than one batch, of long ago.
    let mut tx = database.begin().await.unwrap();
    for number in 0..1200 {
        sqlx::query("INSERT INTO event_inbox VALUES ('bank', '/bank', $1, 1)")
            .bind(format!("old{number}"))
            .execute(tx.connection())
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();

    let count = || async {
        let sql =
            "SELECT (SELECT count(*) FROM event_inbox), (SELECT count(*) FROM event_attempts),
            (SELECT count(*) FROM event_guard)";
        let counts: (i64, i64, i64) = sqlx::query_as(sql)
            .fetch_one(database.reader())
            .await
            .unwrap();
        counts
    };
    ledger.clean(Duration::from_hours(1)).await.unwrap();
    assert_eq!(count().await, (4, 3, 1));
    ledger.clean(Duration::ZERO).await.unwrap();
    assert_eq!(count().await, (0, 0, 1));
    // It is not applied again, though nobody knows any more that it was this one.
    assert_eq!(hand(&book, &applied).await.unwrap(), Handled::PassedOver);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_on_one_key_apply_each_version_once_and_in_order() {
    let scratch = Scratch::new().await;
    let (one, other) = (scratch.open().await, scratch.open().await);
    let last = 40_u64;
    let events: Vec<_> = (1..=last)
        .map(|number| incoming(&deposit("ann", number), number))
        .collect();

    let replica = |database: &Database, step: usize| {
        let (ledger, listener) = (ledger(database), InTransaction::new(database, Book));
        // Each in an order of its own, both everything.
        let order: Vec<_> = (0..events.len())
            .map(|at| events[(at * step + step) % events.len()].clone())
            .collect();
        tokio::spawn(async move {
            for event in &order {
                // A lock that another holds for longer is for the runner to wait out.
                while let Err(failure) = hand(&listener, event).await {
                    assert_eq!(
                        failure.kind(),
                        crate::FailureKind::Unavailable,
                        "{failure:?}"
                    );
                }
                while let Some(next) = ledger.next_held(&key("ann")).await.unwrap() {
                    let _ = hand(&listener, &brought_back(next)).await;
                }
            }
        })
    };
    let (first, second) = (replica(&one, 7), replica(&other, 11));
    first.await.unwrap();
    second.await.unwrap();

    let expected: Vec<_> = (1..=last.cast_signed()).map(|number| number * 10).collect();
    assert_eq!(entries(&one, "ann").await, expected);
    assert_eq!(held_versions(&one).await, [0; 0]);
}
