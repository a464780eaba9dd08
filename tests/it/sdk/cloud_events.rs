//! Events of others, as CloudEvents libraries write them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::Failure;
use integration_tests::notes::{ACCOUNTS, BANK, Deposited, NOTES, READERS, Written};
use integration_tests::{Act, EveryVersion, Ledger, Reader, Replica, Scripted, Teller, TestNats};
use serde_json::{Value, json};

use crate::hazards::bank::{deposit, redrive, tellers, tellers_with, until_entered};

const CHANNEL: &str = "note:written.p";
const STRUCTURED: [(&str, &str); 1] = [("content-type", "application/cloudevents+json")];

/// An event in structured mode.
fn envelope(channel: &str, id: &str, data: &Value) -> String {
    json!({
        "specversion": "1.0", "type": channel, "source": "/elsewhere", "id": id,
        "time": "2018-04-05T03:56:24Z", "tenant": "acme", "data": data,
    })
    .to_string()
}

// Guard: `structured::open` looks at the content type, and at what has none.
#[tokio::test]
async fn event_in_structured_mode_is_handled_as_one_in_binary_mode() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    let data = json!({ "page": "p", "line": 1 });

    let payload = envelope("note:written", "a b", &data);
    nats.put_with(CHANNEL, &STRUCTURED, payload.clone()).await;
    nats.put(CHANNEL, payload).await;
    let binary = [
        ("Ce-Specversion", "1.0"),
        ("Ce-Id", "a%20b"),
        ("Ce-Source", "/elsewhere"),
        ("Ce-Tenant", "acme"),
    ];
    nats.put_with(CHANNEL, &binary, data.to_string()).await;

    for call in listener.until_called(3).await {
        assert_eq!(call.event, Written::on("p", 1));
        let metadata = &call.metadata;
        assert_eq!((metadata.id(), metadata.source()), ("a b", "/elsewhere"));
        assert_eq!(metadata.attribute("tenant").as_deref(), Some("acme"));
    }
    assert!(nats.dead_letters().await.is_empty());
    replica.stop().await;
}

#[tokio::test]
async fn event_in_structured_mode_is_applied_once_and_in_its_turn() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let replica = Replica::start(&nats, tellers::<EveryVersion>(ledger.database())).await;
    let put = async |number, amount: i64| {
        let data = serde_json::to_value(deposit(number, amount)).unwrap();
        let payload = envelope("account:deposited", &number.to_string(), &data);
        nats.put_with("account:deposited.a", &STRUCTURED, payload)
            .await;
    };

    put(2, 40).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.held().await, 1);
    put(1, 70).await;
    until_entered(&ledger, &[70, 40]).await;
    put(1, 70).await;
    put(2, 40).await;
    put(3, 5).await;

    until_entered(&ledger, &[70, 40, 5]).await;
    assert!(nats.dead_letters().await.is_empty());
    replica.stop().await;
}

// Guard: `DeadLetter::record` adds no identity to what has its own inside.
#[tokio::test]
async fn dead_letter_of_an_event_in_structured_mode_is_the_message_as_it_came() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let deposits = Teller::<Deposited, EveryVersion>::with(move |_| {
        if is_mended.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Failure::reject("the books are closed"))
        }
    });
    let set_up = tellers_with(ledger.database(), deposits);
    let replica = Replica::start(&nats, set_up).await;
    let data = serde_json::to_value(deposit(1, 70)).unwrap();
    let payload = envelope("account:deposited", "one", &data);
    nats.put_with("account:deposited.a", &STRUCTURED, payload.clone())
        .await;

    let letter = nats.next_dead_letter().await;
    assert_eq!(letter.kind, "rejected");
    assert_eq!(letter.payload, payload);
    assert_eq!(
        letter.headers["content-type"],
        ["application/cloudevents+json"]
    );
    assert!(!letter.headers.contains_key("ce-id"));
    mended.store(true, Ordering::SeqCst);
    redrive(&nats, "bank", &letter, "1").await;
    until_entered(&ledger, &[70]).await;
    // Its id is the original's, so that the original is known.
    nats.put_with("account:deposited.a", &STRUCTURED, payload)
        .await;

    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.entries("a").await, [70]);
    replica.stop().await;
}

// Guard: `Incoming::decode` looks for what is garbled, and at what the envelope is.
#[tokio::test]
async fn what_is_no_cloud_event_though_it_says_so_is_dead_lettered_as_it_came() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::always(Act::Ack);
    let replica = Replica::of(&nats, &listener).await;
    let good = json!({ "page": "p", "line": 1 }).to_string();
    let structured = ("Content-Type", "application/cloudevents+json");
    let batch = ("Content-Type", "application/cloudevents-batch+json");

    for (header, payload, reason) in [
        (structured, good.as_str(), "`specversion` is ``, not `1.0`"),
        (structured, "not JSON", "it is no JSON object"),
        (
            batch,
            "[]",
            "`application/cloudevents-batch+json` is no format",
        ),
        (
            ("ce-source", "/%C0%A0"),
            &good,
            "header ce-source is `/%C0%A0`",
        ),
        (
            ("ce-datacontenttype", "text/xml"),
            "<a/>",
            "is said to be `text/xml`",
        ),
    ] {
        nats.put_with(CHANNEL, &[header], payload.to_owned()).await;
        let letter = nats.next_dead_letter().await;
        assert_eq!((letter.kind.as_str(), letter.attempts), ("undecodable", 1));
        assert!(letter.reason.contains(reason), "{}", letter.reason);
        assert_eq!(letter.payload, payload);
        assert_eq!(letter.headers[header.0], [header.1]);
    }
    nats.publish(&Written::on("p", 2)).await;

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(listener.events(), [Written::on("p", 2)]);
    replica.stop().await;
}
