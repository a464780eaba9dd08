//! Dead letters that cannot be stored, and those that are sent again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use integration_tests::notes::{ARCHIVE, NOTES, Notes, READERS, Written};
use integration_tests::{Act, Archivist, Reader, Replica, Scripted, TestNats, until_within};
use serde_json::json;

use super::bank::redrive;

// Guard: `Worker::bury` terminates the original only when its letter is acknowledged.
#[tokio::test]
async fn original_stays_until_its_dead_letter_is_stored() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::new(|event, _| match event.page.as_str() {
        "good" => Act::Ack,
        _ => Act::Reject("smudged"),
    });
    let replica = Replica::of(&nats, &listener).await;

    nats.delete_stream("DEAD_LETTERS").await;
    nats.publish(&Written::on("missing", 1)).await;
    replica
        .until_not_ready("no stream takes `dead-letter.readers.note:written.missing`")
        .await;
    let full = json!({ "name": "DEAD_LETTERS", "subjects": ["dead-letter.>"], "discard": "new", "max_bytes": 100 });
    nats.tell("STREAM.CREATE.DEAD_LETTERS", &full).await;
    nats.publish(&Written::on("full", 1)).await;
    replica
        .until_not_ready("stream of `dead-letter.readers.note:written.full` is full")
        .await;
    nats.publish(&Written::on("good", 1)).await;
    let kept = |state: integration_tests::ConsumerState| (state.pending, state.unsettled) == (0, 2);
    nats.until_consumer(NOTES, READERS, "keeps both", kept)
        .await;
    nats.provision::<Notes>().await;

    // Thirty seconds after it was handed back.
    let both = until_within(
        Duration::from_mins(1),
        "both letters are stored",
        async || {
            let letters = nats.dead_letters().await;
            if letters.len() == 2 {
                Ok(letters)
            } else {
                Err(letters.len())
            }
        },
    )
    .await;
    let reasons: BTreeSet<_> = both
        .iter()
        .map(|letter| (letter.origin.1, letter.reason.as_str()))
        .collect();
    assert_eq!(reasons, BTreeSet::from([(1, "smudged"), (2, "smudged")]));
    nats.until_caught_up(NOTES, READERS).await;
    replica.until_ready().await;
    replica.stop().await;
}

// Guard: the group's filter takes its own redrive subjects, and no other's does.
#[tokio::test]
async fn redrive_goes_to_the_group_that_failed_and_to_no_other() {
    let nats = TestNats::start().await;
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let reader = Scripted::<Written, Reader>::new(move |_, _| {
        if is_mended.load(Ordering::SeqCst) {
            Act::Ack
        } else {
            Act::Reject("no glasses")
        }
    });
    let archivist = Scripted::<Written, Archivist>::acks();
    let replica = Replica::start(&nats, |runner| {
        runner.listen(reader.clone()).listen(archivist.clone())
    })
    .await;
    nats.publish(&Written::on("p", 1)).await;
    let letter = nats.next_dead_letter().await;
    let id = letter.headers["ce-id"].clone();

    mended.store(true, Ordering::SeqCst);
    redrive(&nats, "readers", &letter, "1").await;

    let calls = reader.until_called(2).await;
    assert_eq!(reader.events(), [1, 1].map(|line| Written::on("p", line)));
    assert_eq!(calls[1].metadata.id(), id[0], "it is the same event");
    assert_eq!(calls[1].metadata.attempt(), 1);
    nats.until_caught_up(NOTES, READERS).await;
    nats.until_caught_up(NOTES, ARCHIVE).await;
    assert_eq!(archivist.calls().len(), 1);
    replica.stop().await;
}
