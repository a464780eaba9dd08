//! A consumer or a stream that somebody deletes, changes, empties or restores under those who use it.

use integration_tests::notes::{
    ARCHIVE, Erased, NOTES, NextNotes, NextWritten, Notes, READERS, Written,
};
use integration_tests::{Act, Archivist, Gate, Reader, Replica, Scripted, TestNats, until};
use serde_json::json;

use crate::sdk::topology::bind_only;

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
