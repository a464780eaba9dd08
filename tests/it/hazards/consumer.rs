//! A consumer or a stream that somebody deletes, changes, empties or restores under those who use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use integration_tests::notes::{
    ACCOUNTS, ARCHIVE, BANK, Erased, NOTES, NextNotes, NextWritten, Notes, READERS, Written,
};
use integration_tests::{
    Act, Archivist, EveryVersion, Gate, Ledger, Reader, Replica, Scripted, TestNats,
    long_enough_for, until,
};
use serde_json::json;

use super::bank::{deposit, tellers, until_entered, withdraw};
use crate::sdk::topology::bind_only;

// Guard: `Consumer::bind` waits, not ready, until it is there.
#[tokio::test]
async fn consumer_that_is_deleted_is_missed_loudly_by_those_who_may_not_create_it() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = bind_only(&nats, &listener).await;
    replica.until_ready().await;
    nats.publish(&Written::on("p", 1)).await;
    nats.until_caught_up(NOTES, READERS).await;

    nats.delete_consumer(NOTES, READERS).await;
    replica.until_not_ready("it is not on the server").await;
    nats.publish(&Written::on("p", 2)).await;
    assert_eq!(listener.calls().len(), 1);
    assert!(
        nats.consumer(NOTES, READERS).await.is_none(),
        "it was created"
    );
    nats.provision::<Notes>().await;

    replica.until_ready().await;
    nats.until_caught_up(NOTES, READERS).await;
    // The consumer begins at the beginning. Who deletes it to have events again gets them; what must not be done
    // twice is done in a database, which knows.
    let replayed = [1, 1, 2].map(|line| Written::on("p", line));
    assert_eq!(listener.events(), replayed);
    replica.stop().await;
}

// Guard: `Consumer::try_bind` creates it deliver-all.
#[tokio::test]
async fn consumer_that_is_deleted_is_created_again_by_those_who_may_and_nothing_is_lost() {
    let nats = TestNats::start().await;
    let gate = Gate::shut();
    let shut = gate.clone();
    let listener = Scripted::<Written, Reader>::new(move |_, _| Act::AckBehind(shut.clone()));
    let replica = Replica::of(&nats, &listener).await;
    nats.publish(&Written::on("p", 1)).await;
    nats.publish(&Written::on("p", 2)).await;
    listener.until_called(1).await;

    nats.delete_consumer(NOTES, READERS).await;
    until("it is there again", async || {
        nats.consumer(NOTES, READERS).await.ok_or(())
    })
    .await;
    nats.publish(&Written::on("p", 3)).await;
    gate.open();

    nats.until_caught_up(NOTES, READERS).await;
    replica.until_ready().await;
    let mut events = listener.events();
    events.dedup();
    for line in 1..=3 {
        assert!(events.contains(&Written::on("p", line)), "{events:?}");
    }
    replica.stop().await;
}

// Guard: `InHand::is_bound_to` forgets what was acknowledged to the consumer that is gone.
#[tokio::test]
async fn replayed_event_that_fails_at_first_is_not_taken_for_the_one_acknowledged_before() {
    let nats = TestNats::start().await;
    let replayed = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&replayed);
    let listener = Scripted::<Written, Reader>::new(move |_, _| {
        if fails.swap(false, Ordering::Relaxed) {
            Act::RetryAfter(Duration::ZERO)
        } else {
            Act::Ack
        }
    });
    let replica = Replica::of(&nats, &listener).await;
    nats.publish(&Written::on("p", 1)).await;
    nats.until_caught_up(NOTES, READERS).await;

    replayed.store(true, Ordering::Relaxed);
    nats.delete_consumer(NOTES, READERS).await;

    listener.until_called(3).await;
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(
        listener.events(),
        [1, 1, 1].map(|line| Written::on("p", line))
    );
    replica.stop().await;
}

// Guard: `unserved` in `Consumer::session`: a consumer that is there is not yet one that delivers.
#[tokio::test]
async fn consumer_that_refuses_every_request_is_not_ready_until_it_serves() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    nats.set_consumer(NOTES, READERS, "max_batch", json!(1))
        .await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = bind_only(&nats, &listener).await;

    replica.until_not_ready("Exceeded MaxRequestBatch").await;
    nats.publish(&Written::on("p", 1)).await;
    nats.set_consumer(NOTES, READERS, "max_batch", json!(0))
        .await;

    listener.until_called(1).await;
    replica.until_ready().await;
    replica.stop().await;
}

// Guard: the time in `Place`: the memory of what was acknowledged goes by it too.
#[tokio::test]
async fn events_of_a_stream_that_was_deleted_and_created_again_are_new_ones() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    nats.publish(&Written::on("p", 1)).await;
    nats.until_caught_up(NOTES, READERS).await;

    nats.delete_stream("NOTES").await;
    replica.until_not_ready("consumer readers on NOTES").await;
    nats.provision::<Notes>().await;
    nats.publish(&Written::on("p", 2)).await;

    replica.until_ready().await;
    let calls = listener.until_called(2).await;
    assert_eq!(
        listener.events(),
        [Written::on("p", 1), Written::on("p", 2)]
    );
    let places: Vec<_> = calls.iter().map(|call| call.metadata.sequence()).collect();
    assert_eq!(places, [1, 1], "the same place, and another event");
    nats.until_caught_up(NOTES, READERS).await;
    replica.stop().await;
}

/// Lets the stream forget all but its last message, as age does.
async fn forget_all_but_the_last(nats: &TestNats) {
    nats.set_stream("NOTES", "discard", json!("old")).await;
    nats.set_stream("NOTES", "max_msgs", json!(1)).await;
    nats.set_stream("NOTES", "max_msgs", json!(-1)).await;
    nats.set_stream("NOTES", "discard", json!("new")).await;
}

// Guard: `monitor::may_have_aged_out`.
#[tokio::test]
async fn events_that_nobody_has_read_before_they_aged_out_are_missed_loudly() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    for line in 1..=3 {
        nats.publish(&Written::on("p", line)).await;
    }
    forget_all_but_the_last(&nats).await;

    let gate = Gate::shut();
    let listener = Scripted::<Written, Reader>::always(Act::AckBehind(gate.clone()));
    let client = nats.connect("late").await;
    let replica = Replica::begin(&client, |runner| runner.listen(listener.clone()));

    replica
        .until_not_ready("events after 0 are unacknowledged and the stream begins at 3")
        .await;
    gate.open();
    listener.until_done(1).await;
    assert_eq!(listener.events(), [Written::on("p", 3)]);
    replica.stop().await;
}

#[tokio::test]
async fn what_aged_out_on_channels_of_others_keeps_nobody_from_being_ready() {
    let nats = TestNats::start().await;
    nats.provision::<NextNotes>().await;
    let archivist = Scripted::<NextWritten, Archivist>::acks();
    let replica = Replica::of(&nats, &archivist).await;
    nats.publish(&Written::on("p", 1)).await;
    nats.until_caught_up(NOTES, ARCHIVE).await;
    replica.stop().await;
    for page in ["p", "q", "r"] {
        let page = page.to_owned();
        nats.publish(&Erased { page }).await;
    }
    forget_all_but_the_last(&nats).await;

    let replica = Replica::of(&nats, &archivist).await;

    // What was whose nobody can know, and a process that is never ready is no help.
    until("somebody has looked at the stream", async || {
        let troubles = replica.troubles();
        if troubles.contains("unless they were others'") {
            Ok(())
        } else {
            Err(troubles)
        }
    })
    .await;
    assert!(replica.client().health().is_ready());
    replica.stop().await;
}

// Guard: version guard and inbox, of which each would do.
#[tokio::test]
async fn replay_of_a_consumer_that_was_deleted_applies_nothing_twice() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let replica = Replica::start(&nats, tellers::<EveryVersion>(ledger.database())).await;
    nats.publish(&deposit(1, 70)).await;
    nats.publish(&deposit(2, 40)).await;
    until_entered(&ledger, &[70, 40]).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;

    nats.delete_consumer(ACCOUNTS, BANK).await;
    until("it is there again", async || {
        nats.consumer(ACCOUNTS, BANK).await.ok_or(())
    })
    .await;
    nats.publish(&withdraw(3, 100)).await;

    until_entered(&ledger, &[70, 40, -100]).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    let state = nats.consumer(ACCOUNTS, BANK).await.unwrap();
    assert_eq!(state.floor, 3, "everything was replayed");
    assert_eq!(ledger.entries("a").await, [70, 40, -100]);
    replica.stop().await;
}

// Guard: `monitor::look_at_settings` compares the consumer with the list every ten seconds.
#[tokio::test]
async fn consumer_that_somebody_took_a_filter_from_is_missed_loudly_or_put_right() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let narrow = json!(["redrive.readers.note:written.*"]);
    let may_not = bind_only(&nats, &Scripted::acks()).await;
    may_not.until_ready().await;

    nats.set_consumer(NOTES, READERS, "filter_subjects", narrow.clone())
        .await;
    may_not
        .until_not_ready("somebody has changed the consumer: consumer readers on NOTES: filter")
        .await;
    nats.provision::<Notes>().await;
    may_not.until_ready().await;
    may_not.stop().await;

    let listener = Scripted::<Written, Reader>::acks();
    let may = Replica::of(&nats, &listener).await;
    nats.set_consumer(NOTES, READERS, "filter_subjects", narrow)
        .await;
    may.until_not_ready("somebody has changed the consumer")
        .await;
    may.until_ready().await;
    nats.publish(&Written::on("p", 1)).await;
    listener.until_called(1).await;
    may.stop().await;
}

// Guard: `monitor::look_at_unsettled` compares how many are unsettled with how many may be.
#[tokio::test]
async fn group_whose_waiting_retries_reach_the_servers_limit_is_not_ready_until_there_are_fewer() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let hour = Duration::from_hours(1);
    let listener = Scripted::<Written, Reader>::new(move |written, _| match written.line {
        3 => Act::Ack,
        _ => Act::RetryAfter(hour),
    });
    let replica = bind_only(&nats, &listener).await;
    replica.until_ready().await;
    nats.set_consumer(NOTES, READERS, "max_ack_pending", json!(2))
        .await;

    for line in 1..=3 {
        nats.publish(&Written::on("p", line)).await;
    }

    replica
        .until_not_ready(
            "2 events run or wait for another try, and the server delivers no new ones from 2 on",
        )
        .await;
    assert_eq!(listener.calls().len(), 2, "the third is not delivered");
    nats.provision::<Notes>().await;
    replica.until_ready().await;
    listener.until_called(3).await;
    replica.stop().await;
}

// Guard: `Worker::go_by` hears of the new lease from the monitor.
#[tokio::test]
async fn lease_that_somebody_shortens_is_renewed_in_time_from_then_on() {
    let nats = TestNats::start().await;
    let gate = Gate::shut();
    let listener = Scripted::<Written, Reader>::always(Act::AckBehind(gate.clone()));
    let idle = listener.twin();
    let busy = Replica::of(&nats, &listener).await;
    nats.publish(&Written::on("p", 1)).await;
    listener.until_called(1).await;

    let second = Duration::from_secs(1);
    nats.set_lease(NOTES, READERS, second).await;
    long_enough_for("the replica to look", 11 * second).await;
    let other = Replica::of(&nats, &idle).await;
    long_enough_for("a lease to run out", 4 * second).await;

    assert!(idle.calls().is_empty(), "it was given to another");
    gate.open();
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(listener.calls().len(), 1);
    busy.stop().await;
    other.stop().await;
}

// Guard: the time in `Position`, of which a dead letter's `Nats-Msg-Id` and a replica's memory are made.
#[tokio::test]
async fn events_and_dead_letters_of_a_restored_stream_are_not_taken_for_those_of_its_future() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::new(|written, _| match written.page.as_str() {
        "bad" => Act::Reject("smudged"),
        _ => Act::Ack,
    });
    let replica = Replica::of(&nats, &listener).await;
    nats.publish(&Written::on("p", 1)).await;
    nats.until_caught_up(NOTES, READERS).await;
    let backup = nats.back_up("NOTES").await;
    nats.publish(&Written::on("bad", 2)).await;
    nats.publish(&Written::on("p", 3)).await;
    let lost = nats.next_dead_letter().await;
    nats.until_caught_up(NOTES, READERS).await;

    nats.restore(&backup).await;
    let bad = nats.publish(&Written::on("bad", 4)).await;
    let good = nats.publish(&Written::on("p", 5)).await;

    assert_eq!((bad.sequence, good.sequence), (2, 3), "places of others");
    let letter = nats.next_dead_letter().await;
    assert_eq!(letter.origin, lost.origin);
    assert_ne!(letter.payload, lost.payload);
    nats.until_caught_up(NOTES, READERS).await;
    assert!(listener.events().contains(&Written::on("p", 5)));
    replica.until_ready().await;
    replica.stop().await;
}
