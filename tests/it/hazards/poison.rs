//! What nobody should have sent: it ends in the dead letters, and everything else flows on.

use std::time::Duration;

use bytes::Bytes;
use common::{BoxError, Headers};
use integration_tests::notes::{Erased, NOTES, NextWritten, Notes, READERS, Written};
use integration_tests::{Reader, Replica, Scripted, TestNats, attempts, long_enough_for, until};
use serde_json::{Value, json};

const CHANNEL: &str = "note:written.p";

/// What no reader can read, with words of the reason.
fn unreadable() -> Vec<(&'static str, Bytes)> {
    let bytes = |value: Value| Bytes::from(value.to_string());
    vec![
        ("EOF while parsing", Bytes::new()),
        ("EOF while parsing", r#"{"page":"p","li"#.into()),
        ("missing field `line`", bytes(json!({ "page": "p" }))),
        ("missing field `page`", bytes(json!({ "reminder": "p" }))),
        (
            "invalid type: string",
            bytes(json!({ "page": "p", "line": "1" })),
        ),
        ("invalid type: null", bytes(json!(null))),
        (
            "invalid value: integer `-1`",
            bytes(json!({ "page": "p", "line": -1 })),
        ),
        ("trailing characters", r#"{"page":"p","line":1}{}"#.into()),
        (
            "subject is about `p`, payload about `q`",
            bytes(json!({ "page": "q", "line": 1 })),
        ),
        ("", Bytes::from_static(b"{\"page\":\"\xff\",\"line\":1}")),
        ("", "[".repeat(100_000).into()),
        ("invalid type: string", bytes(json!("x".repeat(1_000_000)))),
    ]
}

// Guard: `Incoming::decode` says what is wrong, and `Worker::bury` keeps the bytes.
#[tokio::test]
async fn what_is_no_event_is_dead_lettered_as_it_came_and_the_next_one_is_handled() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;

    for (reason, payload) in unreadable() {
        let sequence = nats.put(CHANNEL, payload.clone()).await;
        let letter = nats.next_dead_letter().await;
        assert_eq!(letter.kind, "undecodable", "{}", letter.reason);
        assert!(letter.reason.contains(reason), "{}", letter.reason);
        assert_eq!(letter.attempts, 1);
        assert_eq!(letter.origin, ("NOTES".to_owned(), sequence));
        assert!(
            letter.payload == payload,
            "the payload of {reason} was changed"
        );
    }
    nats.publish(&Written::on("p", 1)).await;

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(
        listener.events(),
        [Written::on("p", 1)],
        "only what is an event"
    );
    replica.stop().await;
}

// Guard: `DeadLetter::store` leaves the payload where it is when the letter would be too large.
#[tokio::test]
async fn message_as_large_as_may_be_leaves_a_letter_that_says_where_it_is() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;

    let sequence = nats.put(CHANNEL, vec![b' '; 1024 * 1024]).await;

    let letter = nats.next_dead_letter().await;
    assert_eq!(letter.kind, "undecodable");
    assert_eq!(letter.body.as_deref(), Some("in-stream"));
    assert!(letter.payload.is_empty());
    assert_eq!(letter.origin, ("NOTES".to_owned(), sequence));
    nats.until_caught_up(NOTES, READERS).await;
    replica.stop().await;
}

#[tokio::test]
async fn bare_json_of_somebody_who_knows_no_headers_is_an_event() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;

    let payload = r#"{"page":"p","line":1,"colour":"unknown to this reader"}"#;
    nats.put(CHANNEL, payload).await;
    nats.put(CHANNEL, payload).await;

    let calls = listener.until_called(2).await;
    assert_eq!(
        listener.events(),
        [Written::on("p", 1), Written::on("p", 1)]
    );
    let ids: Vec<_> = calls.iter().map(|call| call.metadata.id()).collect();
    assert_ne!(ids[0], ids[1], "two messages are two events");
    assert_eq!(calls[0].metadata.source(), "/NOTES");
    replica.stop().await;
}

#[tokio::test]
async fn header_that_names_another_channel_is_believed() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;

    let payload = r#"{"page":"p","line":1}"#;
    let headers = [("ce-type", "note:erased"), ("tenant", "acme")];
    nats.put_with(CHANNEL, &headers, payload).await;

    let letter = nats.next_dead_letter().await;
    assert_eq!(letter.kind, "undecodable");
    assert!(letter.reason.contains("`note:erased`"), "{}", letter.reason);
    assert_eq!(letter.headers["tenant"], ["acme"]);
    assert_eq!(letter.payload, payload);
    assert!(listener.calls().is_empty());
    replica.stop().await;
}

#[tokio::test]
async fn key_that_no_event_can_have_is_dead_lettered_under_its_own_name() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;

    for key in ["50%", "käse", &"k".repeat(65)] {
        nats.put(&format!("note:written.{key}"), r#"{"page":"p","line":1}"#)
            .await;
        let letter = nats.next_dead_letter().await;
        assert_eq!(letter.kind, "undecodable", "{key}");
        assert_eq!(
            letter.subject,
            format!("dead-letter.readers.note:written.{key}")
        );
    }

    nats.until_caught_up(NOTES, READERS).await;
    assert!(listener.calls().is_empty());
    replica.stop().await;
}

#[tokio::test]
async fn letter_takes_no_orders_from_the_message_it_is_about() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;

    let headers = [
        ("dead-letter-kind", "forged"),
        ("dead-letter-attempts", "99"),
        ("Nats-Msg-Id", "chosen"),
        ("Nats-Expected-Stream", "NOTES"),
    ];
    nats.put_with(CHANNEL, &headers, "first").await;
    let first = nats.next_dead_letter().await;
    // What is a duplicate among the events is none among the letters.
    nats.put(CHANNEL, "second").await;
    let second = nats.next_dead_letter().await;

    assert_eq!((first.kind.as_str(), first.attempts), ("undecodable", 1));
    let record = nats.stored("DEAD_LETTERS", ">").await.remove(0);
    assert_eq!(record.headers["dead-letter-kind"], ["undecodable"]);
    assert_eq!(record.header("Nats-Expected-Stream"), None);
    assert_eq!(
        (first.payload, second.payload),
        ("first".into(), "second".into())
    );
    replica.stop().await;
}

// Guard: `poison::remove` reads what was delivered through the API, after a connection was lost.
#[tokio::test]
async fn headers_that_kill_a_connection_end_in_the_dead_letters_and_the_rest_flows() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    nats.set_lease(NOTES, READERS, Duration::from_secs(2)).await;
    let one = Scripted::<Written, Reader>::acks();
    let other = one.twin();
    let first = Replica::of(&nats, &one).await;
    let second = Replica::of(&nats, &other).await;
    nats.publish(&Written::on("p", 0)).await;
    nats.until_caught_up(NOTES, READERS).await;

    let payload = br#"{"page":"q","line":1}"#;
    let poisons: [&[u8]; 3] = [b"x: a\rb\r\n", b"x: \xff\xfe\r\n", b"x y: b\r\n"];
    let mut wire = nats.wire().await;
    let mut places = Vec::new();
    for (line, headers) in (1..).zip(poisons) {
        places.push(wire.publish("note:written.q", headers, payload).await);
        nats.publish(&Written::on("p", line)).await;
    }

    let mut found = Vec::new();
    for _ in poisons {
        let letter = nats.next_dead_letter().await;
        assert_eq!(letter.kind, "poison", "{}", letter.reason);
        assert_eq!(letter.body.as_deref(), Some("raw-message"));
        let body: Value = serde_json::from_slice(&letter.payload).unwrap();
        assert_eq!(body["payload"], base64(payload));
        found.push((letter.origin.1, body["headers"].clone()));
    }
    found.sort_by_key(|(place, _)| *place);
    for ((place, headers), (wanted, raw)) in found.iter().zip(places.iter().zip(poisons)) {
        assert_eq!(place, wanted);
        let block = [b"NATS/1.0\r\n", raw, b"\r\n"].concat();
        assert_eq!(*headers, base64(&block), "the headers as they came");
    }
    nats.until_caught_up(NOTES, READERS).await;
    let mut lines: Vec<_> = [one.events(), other.events()].concat();
    lines.sort_by_key(|written| written.line);
    lines.dedup();
    let expected: Vec<_> = (0..=3).map(|line| Written::on("p", line)).collect();
    assert_eq!(lines, expected);
    first.until_ready().await;
    second.until_ready().await;
    nats.publish(&Written::on("p", 4)).await;
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(nats.dead_letters().await.len(), poisons.len());
    first.stop().await;
    second.stop().await;
}

// Guard: `Searched` knows a consumer by the time of its creation.
#[tokio::test]
async fn poison_that_a_consumer_made_anew_delivers_again_is_found_again() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    nats.set_lease(NOTES, READERS, Duration::from_secs(2)).await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    for line in 1..=3 {
        nats.publish(&Written::on("p", line)).await;
    }
    let mut wire = nats.wire().await;
    let payload = br#"{"page":"q","line":1}"#;
    wire.publish("note:written.q", b"x: a\rb\r\n", payload)
        .await;
    nats.publish(&Written::on("p", 4)).await;
    assert_eq!(nats.next_dead_letter().await.kind, "poison");
    nats.until_caught_up(NOTES, READERS).await;

    nats.delete_consumer(NOTES, READERS).await;
    until("it is there again", async || {
        nats.consumer(NOTES, READERS).await.ok_or(())
    })
    .await;

    nats.publish(&Written::on("p", 5)).await;
    nats.until_caught_up(NOTES, READERS).await;
    replica.until_ready().await;
    assert!(listener.events().contains(&Written::on("p", 5)));
    replica.stop().await;
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 4];
        three[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(three);
        for letter in 0..4 {
            let index = (bits >> (18 - 6 * letter)) & 63;
            text.push(if letter <= chunk.len() {
                char::from(LETTERS[index as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[tokio::test]
async fn earlier_form_is_read_as_the_present_one() {
    let nats = TestNats::start().await;
    let listener = Scripted::<NextWritten, Reader>::acks();
    let replica = next(&nats, &listener).await;

    nats.publish(&Written::on("p", 1)).await;

    let calls = listener.until_called(1).await;
    assert_eq!(
        calls[0].event,
        NextWritten {
            page: "p".to_owned(),
            line: 1,
            author: "nobody".to_owned()
        }
    );
    assert_eq!(calls[0].metadata.schema_version(), Some(1));
    replica.stop().await;
}

#[tokio::test]
async fn newer_form_is_handed_back_uncounted_until_a_replica_knows_it() {
    let nats = TestNats::start().await;
    let past = Scripted::<Written, Reader>::acks();
    let old = Replica::start(&nats, |runner| {
        runner.listen(past.clone()).retry(attempts(1))
    })
    .await;
    let written = NextWritten {
        page: "p".to_owned(),
        line: 1,
        author: "somebody".to_owned(),
    };

    nats.publish(&written).await;
    nats.until_consumer(NOTES, READERS, "has it", |state| state.unsettled == 1)
        .await;
    long_enough_for("the old one to misread it", Duration::from_millis(200)).await;
    let listener = Scripted::<NextWritten, Reader>::acks();
    let new = next(&nats, &listener).await;

    old.stop().await;
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(
        nats.dead_letters()
            .await
            .iter()
            .map(|l| &l.reason)
            .collect::<Vec<_>>(),
        [""; 0]
    );
    assert_eq!(listener.events(), [written]);
    assert!(past.calls().is_empty());
    new.stop().await;
}

/// A replica of the next release, with one attempt for each event.
async fn next(nats: &TestNats, listener: &Scripted<NextWritten, Reader>) -> Replica {
    Replica::start(nats, |runner| {
        runner
            .listen(listener.clone())
            .listen(Scripted::<Erased, Reader>::acks())
            .retry(attempts(1))
    })
    .await
}

#[tokio::test]
async fn header_that_would_command_the_server_never_leaves_the_publisher() -> Result<(), BoxError> {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    nats.publish(&Written::on("p", 1)).await;
    // As a handler hands on what it was given.
    let pairs = r#"[["Nats-Rollup","all"],["Nats-TTL","1s"],["x y","a\rb"],["tenant","a\r\nNats-Rollup: all"]]"#;
    let hostile: Result<Headers, _> = serde_json::from_str(pairs);
    let rollup: Headers = serde_json::from_str(r#"[["Nats-Rollup","all"],["tenant","acme"]]"#)?;

    nats.publisher()
        .publish_with(&Written::on("p", 2), &rollup)
        .await?;

    assert!(hostile.is_err(), "{hostile:?}");
    let stored = nats.stored("NOTES", ">").await;
    assert_eq!(stored.len(), 2, "nothing was purged");
    assert_eq!(stored[1].header("tenant"), Some("acme"));
    nats.until_caught_up(NOTES, READERS).await;
    assert!(replica.client().health().is_ready());
    replica.stop().await;
    Ok(())
}
