//! The same event again: it is applied once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::Failure;
use futures::future::join_all;
use integration_tests::notes::{ACCOUNTS, BANK, Deposited, NOTES, Notes, READERS, Written};
use integration_tests::{EveryVersion, Ledger, Message, Replica, Teller, TestNats, until};
use serde_json::json;

use super::bank::{
    ACCOUNT, deposit, headers_of, pairs, redrive, tellers, tellers_with, until_entered,
};

// Guard: the version guard, and before it the inbox.
#[tokio::test]
async fn event_that_comes_twice_is_applied_once() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let deposits = Teller::<Deposited, EveryVersion>::content();
    let set_up = tellers_with(ledger.database(), deposits.clone());
    let replica = Replica::start(&nats, set_up).await;
    nats.publish(&deposit(1, 70)).await;
    let original = nats.stored("ACCOUNTS", ">").await.remove(0);

    // The same event again, for whom the server's window is too short to tell.
    let headers: Vec<_> = headers_of(&original.headers, "again");
    let headers: Vec<_> = pairs(&headers);
    nats.put_with(&original.subject, &headers, original.payload.clone())
        .await;
    // The same version from another publisher, under an id of its own.
    nats.publish(&deposit(1, 70)).await;
    // And once more after its successor.
    nats.publish(&deposit(2, 40)).await;
    nats.publish(&deposit(1, 70)).await;

    nats.until_caught_up(ACCOUNTS, BANK).await;
    until_entered(&ledger, &[70, 40]).await;
    assert_eq!(
        nats.stream_messages(ACCOUNTS).await,
        5,
        "all were delivered"
    );
    assert_eq!(deposits.asked(), [deposit(1, 70), deposit(2, 40)]);
    assert!(nats.dead_letters().await.is_empty());
    replica.stop().await;
}

// Guard: the inbox.
#[tokio::test]
async fn event_without_a_version_is_known_by_its_source_and_id() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let teller = Teller::<Written, EveryVersion>::content();
    let replica = Replica::start(&nats, |runner| {
        runner.listen_in(ledger.database(), teller.clone())
    })
    .await;
    let line = |number: u32| serde_json::to_vec(&Written::on("a", number)).unwrap();

    for (source, id, number) in [
        ("/writers", "1", 1),
        ("/writers", "1", 1),
        ("/writers", "2", 2),
        ("/others", "1", 3),
        ("/others", "1", 3),
        ("/writers", "1", 1),
    ] {
        let headers = [("ce-source", source), ("ce-id", id)];
        nats.put_with("note:written.a", &headers, line(number))
            .await;
    }

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(ledger.entries("a").await, [1, 2, 3]);
    assert_eq!(teller.asked().len(), 3);
    replica.stop().await;
}

fn as_they_came(message: &Message) -> Vec<(&str, &str)> {
    let headers = message.headers.iter();
    headers
        .map(|(name, values)| (name.as_str(), values[0].as_str()))
        .collect()
}

// Guard: `Outgoing::encode` gives every event a `Nats-Msg-Id`.
#[tokio::test]
async fn event_that_is_sent_again_within_the_servers_window_is_stored_once() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let first = nats.publish(&Written::on("a", 1)).await;
    let original = nats.stored("NOTES", ">").await.remove(0);
    let headers = as_they_came(&original);

    let again = nats
        .put_with(&original.subject, &headers, original.payload.clone())
        .await;

    assert_eq!(again, first.sequence);
    assert_eq!(nats.stream_messages(NOTES).await, 1);
}

// Guard: the inbox. The event has no version.
#[tokio::test]
async fn event_that_is_sent_again_after_the_servers_window_is_stored_twice_and_applied_once() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let shortest = json!(100_000_000);
    nats.set_stream("NOTES", "duplicate_window", shortest).await;
    let ledger = Ledger::new().await;
    nats.publish(&Written::on("a", 1)).await;
    let original = nats.stored("NOTES", ">").await.remove(0);
    let headers = as_they_came(&original);
    until("the server has forgotten it", async || {
        let payload = original.payload.clone();
        match nats.put_with(&original.subject, &headers, payload).await {
            1 => Err("it is known"),
            _ => Ok(()),
        }
    })
    .await;

    let teller = Teller::<Written, EveryVersion>::content();
    let set_up = |runner: common::Runner| runner.listen_in(ledger.database(), teller);
    let replica = Replica::start(&nats, set_up).await;

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(nats.stream_messages(NOTES).await, 2);
    assert_eq!(ledger.entries("a").await, [1]);
    replica.stop().await;
}

// Guard: the version guard. Each of the two tells of a change under an id of its own.
#[tokio::test]
async fn change_that_two_publishers_tell_of_is_applied_once() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let replica = Replica::start(&nats, tellers::<EveryVersion>(ledger.database())).await;
    let (one, other) = (nats.connect("one").await, nats.connect("other").await);

    join_all([one, other].map(async |client| {
        let publisher = common::JetStreamPublisher::new(&client);
        for number in 1..=20 {
            let change = deposit(number, number.cast_signed());
            publisher.publish(&change).await.unwrap();
        }
    }))
    .await;

    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(nats.stream_messages(ACCOUNTS).await, 40);
    let all: Vec<_> = (1..=20).collect();
    until_entered(&ledger, &all).await;
    assert!(nats.dead_letters().await.is_empty());
    replica.stop().await;
}

// Guard: the inbox, and that a redrive keeps `ce-id`. The event has no version.
#[tokio::test]
async fn event_that_is_redriven_twice_is_applied_once() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let teller = Teller::<Written, EveryVersion>::with(move |_| {
        if is_mended.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Failure::reject("no glasses"))
        }
    });
    let set_up = |runner: common::Runner| runner.listen_in(ledger.database(), teller.clone());
    let replica = Replica::start(&nats, set_up).await;
    nats.publish(&Written::on(ACCOUNT, 1)).await;
    let letter = nats.next_dead_letter().await;
    mended.store(true, Ordering::SeqCst);

    redrive(&nats, "readers", &letter, "1").await;
    redrive(&nats, "readers", &letter, "2").await;

    until_entered(&ledger, &[1]).await;
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(nats.stream_messages(NOTES).await, 3);
    assert_eq!(ledger.entries(ACCOUNT).await, [1]);
    assert_eq!(teller.asked().len(), 2, "once before it was mended");
    replica.stop().await;
}
