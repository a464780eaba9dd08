//! What becomes of an event by what its handler says.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Event as _, Failure, Headers, RetryPolicy};
use integration_tests::notes::{ACCOUNTS, BANK, Deposited, NOTES, READERS, Written};
use integration_tests::{
    Act, EveryVersion, HastyReader, Ledger, Member, Reader, Replica, Scripted, Teller, TestNats,
    attempts, long_enough_for, until,
};
use jiff::Timestamp;

use super::bank::{ACCOUNT, deposit, tellers_with, until_entered};

#[tokio::test]
async fn acknowledged_event_is_settled_and_does_not_come_again() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;

    let stored = nats.publish(&Written::on("p", 1)).await;

    nats.until_caught_up(NOTES, READERS).await;
    let calls = listener.calls();
    assert_eq!(listener.events(), [Written::on("p", 1)]);
    assert_eq!(calls[0].metadata.attempt(), 1);
    assert_eq!(calls[0].metadata.sequence(), stored.sequence);
    assert_eq!(calls[0].metadata.source(), "/writers");
    assert_eq!(calls[0].metadata.key(), &Written::on("p", 1).key());
    replica.stop().await;
}

// Guard: `Worker::failed` hands the event back with the delay that `RetryPolicy` says.
#[tokio::test]
async fn failed_event_comes_again_after_growing_delays_until_it_succeeds() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::fails_first(3);
    let replica = Replica::start(&nats, |runner| {
        runner.listen(listener.clone()).retry(attempts(4))
    })
    .await;

    nats.publish(&Written::on("p", 1)).await;

    nats.until_caught_up(NOTES, READERS).await;
    let calls = listener.calls();
    let numbers: Vec<_> = calls.iter().map(|call| call.metadata.attempt()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    for (pair, delay) in calls.windows(2).zip([10, 20, 40]) {
        let waited = pair[1].began - pair[0].ended.unwrap();
        assert!(
            waited >= Duration::from_millis(delay),
            "{waited:?} of {delay} ms"
        );
    }
    assert!(nats.dead_letters().await.is_empty());
    replica.stop().await;
}

#[tokio::test]
async fn retry_after_is_neither_earlier_nor_as_the_policy_would_have_it() {
    let nats = TestNats::start().await;
    let asked = Duration::from_millis(200);
    let listener = Scripted::<Written, Reader>::new(move |_, metadata| {
        if metadata.attempt() == 1 {
            Act::RetryAfter(asked)
        } else {
            Act::Ack
        }
    });
    let minutes = Duration::from_mins(5);
    let policy = RetryPolicy::new(NonZeroU32::MIN.saturating_add(2), minutes, minutes);
    let replica = Replica::start(&nats, |runner| {
        runner.listen(listener.clone()).retry(policy)
    })
    .await;

    nats.publish(&Written::on("p", 1)).await;

    let calls = listener.until_called(2).await;
    let waited = calls[1].began - calls[0].ended.unwrap();
    assert!(waited >= asked, "{waited:?}");
    assert_eq!(calls[1].metadata.attempt(), 2);
    replica.stop().await;
}

#[tokio::test]
async fn event_that_asks_again_and_again_is_dead_lettered_too() {
    let nats = TestNats::start().await;
    let soon = Act::RetryAfter(Duration::from_millis(1));
    let listener = Scripted::<Written, Reader>::always(soon);
    let replica = Replica::of(&nats, &listener).await;

    nats.publish(&Written::on("p", 1)).await;

    let letter = nats.next_dead_letter().await;
    assert_eq!(letter.kind, "attempts-exhausted");
    assert_eq!(letter.attempts, 3);
    assert_eq!(listener.calls().len(), 3);
    replica.stop().await;
}

#[tokio::test]
async fn rejected_event_is_dead_lettered_whole_and_not_tried_again() {
    let nats = TestNats::start().await;
    let listener =
        Scripted::<Written, Reader>::always(Act::Reject("no page „p“ in 100 % of books"));
    let replica = Replica::of(&nats, &listener).await;
    let before = Timestamp::now();

    let headers = Headers::new().with("tenant", "Käse").unwrap();
    let event = Written::on("p", 1);
    let publisher = nats.publisher();
    let stored = publisher.publish_with(&event, &headers).await.unwrap();

    let letter = nats.next_dead_letter().await;
    assert_eq!(letter.subject, "dead-letter.readers.note:written.p");
    assert_eq!(letter.kind, "rejected");
    assert_eq!(letter.reason, "no page „p“ in 100 % of books");
    assert_eq!(letter.attempts, 1);
    assert_eq!(letter.origin, ("NOTES".to_owned(), stored.sequence));
    assert_eq!(letter.body, None);
    let original = nats.stored("NOTES", "note:written.*").await.remove(0);
    assert_eq!(letter.payload, original.payload);
    let kept = |name: &str| !name.starts_with("Nats-");
    let mut expected = original.headers;
    expected.retain(|name, _| kept(name));
    let mut found = letter.headers;
    found.retain(|name, _| kept(name));
    assert_eq!(found, expected, "headers of the original");
    let record = nats.stored("DEAD_LETTERS", ">").await.remove(0);
    for name in ["dead-letter-stored-at", "dead-letter-at"] {
        let at: Timestamp = record.header(name).unwrap().parse().unwrap();
        assert!(at >= before && at <= Timestamp::now(), "{name}: {at}");
    }
    nats.until_caught_up(NOTES, READERS).await;
    long_enough_for("another attempt", Duration::from_millis(200)).await;
    assert_eq!(listener.calls().len(), 1);
    replica.stop().await;
}

// Guard: `handle` catches panics.
#[tokio::test]
async fn panic_is_a_failed_attempt_and_the_last_one_a_dead_letter() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::new(|event, _| match event.page.as_str() {
        "bad" => Act::Panic("ink is out"),
        _ => Act::Ack,
    });
    let replica = Replica::of(&nats, &listener).await;

    nats.publish(&Written::on("bad", 1)).await;
    nats.publish(&Written::on("good", 1)).await;

    let letter = nats.next_dead_letter().await;
    assert_eq!(letter.kind, "attempts-exhausted");
    assert_eq!(letter.reason, "handler panicked: ink is out");
    assert_eq!(letter.attempts, 3);
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(attempts_at("bad", &listener), [1, 2, 3]);
    assert_eq!(attempts_at("good", &listener), [1]);
    assert!(
        replica.client().health().is_ready(),
        "a panic is the event's trouble"
    );
    replica.stop().await;
}

// Guard: `RetryPolicy` ends, and `Worker::bury` stores the message as it came.
#[tokio::test]
async fn event_that_always_fails_is_dead_lettered_after_its_last_attempt_with_the_last_reason() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::new(|_, metadata| match metadata.attempt() {
        1 | 2 => Act::Fail("not yet"),
        _ => Act::Fail("never"),
    });
    let replica = Replica::of(&nats, &listener).await;

    let stored = nats.publish(&Written::on("p", 1)).await;

    let letter = nats.next_dead_letter().await;
    let original = nats.stored("NOTES", "note:written.*").await.remove(0);
    assert_eq!(letter.kind, "attempts-exhausted");
    assert_eq!(letter.reason, "never");
    assert_eq!(letter.payload, original.payload);
    assert_eq!(letter.headers["ce-id"], original.headers["ce-id"]);
    assert_eq!(letter.attempts, 3);
    assert_eq!(letter.origin, ("NOTES".to_owned(), stored.sequence));
    assert_eq!(attempts_at("p", &listener), [1, 2, 3]);
    nats.until_caught_up(NOTES, READERS).await;
    replica.stop().await;
    assert_eq!(nats.dead_letters().await.len(), 1);
}

// Guard: the deadline in `handle`.
#[tokio::test]
async fn handler_that_never_comes_back_is_stopped_at_its_deadline_and_has_failed() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, HastyReader>::new(|event, _| match event.page.as_str() {
        "bad" => Act::Hang,
        _ => Act::Ack,
    });
    let replica = Replica::of(&nats, &listener).await;

    nats.publish(&Written::on("bad", 1)).await;
    nats.publish(&Written::on("good", 1)).await;

    let letter = nats.next_dead_letter().await;
    assert_eq!(letter.kind, "attempts-exhausted");
    assert_eq!(letter.reason, "handler was stopped after 100ms");
    assert_eq!(letter.attempts, 3);
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(attempts_at("bad", &listener), [1, 2, 3]);
    assert_eq!(attempts_at("good", &listener), [1]);
    replica.stop().await;
}

// Guard: `Outages::until_available` tries again and counts nothing.
#[tokio::test]
async fn outage_costs_no_attempt_stops_everything_and_shows_in_readiness() {
    let nats = TestNats::start().await;
    let away = Arc::new(AtomicBool::new(true));
    let is_away = Arc::clone(&away);
    let listener = Scripted::<Written, Reader>::new(move |_, _| {
        if is_away.load(Ordering::SeqCst) {
            Act::Unavailable("the shelf is away")
        } else {
            Act::Ack
        }
    });
    let replica = Replica::start(&nats, |runner| {
        runner.listen(listener.clone()).retry(attempts(1))
    })
    .await;
    nats.publish(&Written::on("first", 1)).await;
    replica.until_not_ready("the shelf is away").await;

    for page in 0..300 {
        nats.publish(&Written::on(&format!("p{page}"), 1)).await;
    }
    // More tries than the policy has attempts.
    let calls = listener.until_called(4).await;

    let tried: BTreeSet<_> = calls.iter().map(|call| &call.event.page).collect();
    assert_eq!(tried.len(), 1, "an outage is tried out on {tried:?}");
    let state = nats.consumer(NOTES, READERS).await.unwrap();
    assert!(state.unsettled <= 64, "fetched on: {state:?}");
    assert_eq!(state.redelivered, 0, "handed back instead of kept");
    away.store(false, Ordering::SeqCst);

    nats.until_caught_up(NOTES, READERS).await;
    replica.until_ready().await;
    let calls = listener.calls();
    assert!(calls.iter().all(|call| call.metadata.attempt() == 1));
    let handled: BTreeSet<_> = calls.iter().map(|call| &call.event.page).collect();
    assert_eq!(handled.len(), 301);
    assert!(nats.dead_letters().await.is_empty());
    replica.stop().await;
}

fn attempts_at<M: Member>(page: &str, listener: &Scripted<Written, M>) -> Vec<u32> {
    let calls = listener.calls();
    let of_page = calls.iter().filter(|call| call.event.page == page);
    of_page.map(|call| call.metadata.attempt()).collect()
}

// Guard: `Attempts::failed` notes the attempt in the database.
#[tokio::test]
async fn attempts_are_counted_in_the_database_and_the_last_is_a_dead_letter() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let deposits = Teller::<Deposited, EveryVersion>::with(|_| panic!("ink everywhere"));
    let first = Replica::start(&nats, |runner| {
        let minutes = Duration::from_mins(5);
        let policy = common::RetryPolicy::new(attempts(2).max_attempts(), minutes, minutes);
        tellers_with(ledger.database(), deposits.clone())(runner).retry(policy)
    })
    .await;
    nats.publish(&deposit(1, 70)).await;
    until("it has failed once", async || {
        let asked = deposits.asked().len();
        if asked == 1 { Ok(()) } else { Err(asked) }
    })
    .await;
    first.stop().await;
    // The server forgets how often it has delivered, and the database does not.
    nats.delete_consumer(ACCOUNTS, BANK).await;
    let second = Replica::start(&nats, |runner| {
        tellers_with(ledger.database(), deposits.clone())(runner).retry(attempts(2))
    })
    .await;

    let letter = nats.next_dead_letter().await;

    assert_eq!(
        (letter.kind.as_str(), letter.attempts),
        ("attempts-exhausted", 2)
    );
    assert_eq!(letter.reason, "handler panicked: ink everywhere");
    assert_eq!(deposits.asked().len(), 2, "it was tried once more");
    assert_eq!(ledger.entries(ACCOUNT).await, [0; 0]);
    second.stop().await;
}

// Guard: `InTransaction` rolls back what failed.
#[tokio::test]
async fn failed_attempt_leaves_nothing_behind_and_the_next_one_succeeds() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let failed = AtomicBool::new(false);
    let deposits = Teller::<Deposited, EveryVersion>::with(move |_| {
        if failed.swap(true, Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Failure::retry("the pen is dry"))
        }
    });
    let set_up = tellers_with(ledger.database(), deposits.clone());
    let replica = Replica::start(&nats, set_up).await;

    nats.publish(&deposit(1, 70)).await;
    nats.publish(&deposit(2, 40)).await;

    until_entered(&ledger, &[70, 40]).await;
    assert_eq!(deposits.asked().len(), 3);
    nats.until_caught_up(ACCOUNTS, BANK).await;
    replica.stop().await;
}
