//! What a publisher promises: stored once, in order, or a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::testing::Published;
use common::testing::conformance::{self, Harness};
use common::{
    Client, JetStreamPublisher, PublishError, Relay, SubjectSet as _, Subjects, Tx, build_client,
};
use integration_tests::notes::{Due, NOTES, Notes, READERS, REMINDERS, Reminders, Written};
use integration_tests::{Cable, Ledger, Message, Reader, Replica, Scripted, TestNats, until};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// What is in the streams of the services that was not there at the last look.
struct Reading<'n> {
    nats: &'n TestNats,
    read: Mutex<BTreeMap<&'static str, u64>>,
}

impl<'n> Reading<'n> {
    async fn of(nats: &'n TestNats) -> Self {
        nats.provision::<Subjects>().await;
        Self {
            nats,
            read: Mutex::default(),
        }
    }

    async fn news(&self) -> Vec<Published> {
        let streams: BTreeSet<_> = Subjects::ALL
            .iter()
            .map(|subject| subject.stream().as_str())
            .collect();
        let mut news = Vec::new();
        for stream in streams {
            let messages = self.nats.stored(stream, ">").await;
            let last = messages.last().map_or(0, |message| message.sequence);
            let seen = self.read.lock().unwrap().insert(stream, last);
            let is_new = |message: &Message| message.sequence > seen.unwrap_or_default();
            news.extend(messages.into_iter().filter(is_new).map(published));
        }
        news
    }
}

fn published(message: Message) -> Published {
    let headers = message.headers.into_iter().flat_map(|(name, values)| {
        let name = move || name.clone();
        values.into_iter().map(move |value| (name(), value))
    });
    Published::new(
        message.subject,
        headers.collect::<Vec<_>>(),
        message.payload,
    )
}

struct OnTheWire<'n>(Reading<'n>);

impl Harness for OnTheWire<'_> {
    type Publisher<'h>
        = JetStreamPublisher
    where
        Self: 'h;

    async fn open(&self) -> JetStreamPublisher {
        self.0.nats.publisher()
    }

    async fn close(&self, _: JetStreamPublisher) {}

    async fn stored(&self) -> Vec<Published> {
        self.0.news().await
    }
}

#[tokio::test]
async fn publisher_on_a_server_conforms() {
    let nats = TestNats::start().await;
    conformance::check(&OnTheWire(Reading::of(&nats).await)).await;
}

struct ThroughTheOutbox<'n> {
    reading: Reading<'n>,
    ledger: &'n Ledger,
}

impl Harness for ThroughTheOutbox<'_> {
    type Publisher<'h>
        = Tx<'h>
    where
        Self: 'h;

    async fn open(&self) -> Tx<'_> {
        self.ledger.database().begin().await.unwrap()
    }

    async fn close<'h>(&'h self, tx: Tx<'h>) {
        // A transaction whose event was refused does not commit; what is stored shows that.
        drop(tx.commit().await);
    }

    async fn stored(&self) -> Vec<Published> {
        self.ledger.until_sent().await;
        self.reading.news().await
    }
}

#[tokio::test]
async fn transaction_with_its_relay_conforms() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let stop = CancellationToken::new();
    let relay = Relay::new(ledger.database(), nats.client());
    let relay = tokio::spawn(relay.run(stop.clone().cancelled_owned()));

    conformance::check(&ThroughTheOutbox {
        reading: Reading::of(&nats).await,
        ledger: &ledger,
    })
    .await;

    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test]
async fn receipt_names_the_place_in_the_stream() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;

    for place in 1..=3 {
        let stored = nats.publish(&Written::on("p", 1)).await;
        assert_eq!((stored.sequence, stored.duplicate), (place, false));
    }
}

#[tokio::test]
async fn event_of_a_million_bytes_arrives_whole() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    let long = Written {
        text: "x".repeat(1_000_000),
        ..Written::on("p", 1)
    };

    nats.publish(&long).await;

    nats.until_caught_up(NOTES, READERS).await;
    assert!(listener.events() == [long], "it was changed on its way");
    replica.stop().await;
}

// Guard: the second try has the `Nats-Msg-Id` of the first.
#[tokio::test]
async fn event_whose_acknowledgement_was_lost_is_sent_again_and_stored_once() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let cable = Cable::to(nats.url()).await;
    let client = over(&cable, &nats).await;
    let publisher = JetStreamPublisher::new(&client);

    cable.mute();
    let publishing = tokio::spawn(async move { publisher.publish(&Written::on("p", 1)).await });
    until("the server has stored it", async || {
        let stored = nats.stored("NOTES", ">").await.len();
        if stored == 1 { Ok(()) } else { Err(stored) }
    })
    .await;
    assert!(!publishing.is_finished(), "nobody has told the publisher");
    cable.cut();
    cable.mend();

    let stored = publishing.await.unwrap().unwrap();
    assert_eq!((stored.sequence, stored.duplicate), (1, true));
    assert_eq!(nats.stored("NOTES", ">").await.len(), 1);
}

#[tokio::test]
async fn event_that_no_stream_takes_is_refused_soon() {
    let nats = TestNats::start().await;
    let began = Instant::now();

    let refused = nats.publisher().publish(&Written::on("p", 1)).await;

    assert!(
        matches!(&refused, Err(PublishError::NoStream { subject }) if subject == "note:written.p"),
        "{refused:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(8), "{began:?}");
}

#[tokio::test]
async fn event_waits_a_moment_for_its_stream() {
    let nats = TestNats::start().await;
    let publisher = nats.publisher();
    let publishing = tokio::spawn(async move { publisher.publish(&Written::on("p", 1)).await });

    nats.provision::<Notes>().await;

    assert_eq!(publishing.await.unwrap().unwrap().sequence, 1);
}

// Guard: streams are declared `discard new`.
#[tokio::test]
async fn full_stream_refuses_and_keeps_what_it_has() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    nats.set_stream("NOTES", "max_msgs", json!(1)).await;
    nats.publish(&Written::on("p", 1)).await;

    let refused = nats.publisher().publish(&Written::on("p", 2)).await;

    assert!(
        matches!(&refused, Err(err @ PublishError::StreamFull { .. }) if err.is_retryable()),
        "{refused:?}"
    );
    let stored = nats.stored("NOTES", ">").await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].sequence, 1, "the oldest made room");
}

// Guard: `Signals` reads the server's permission errors.
#[tokio::test]
async fn denied_subject_is_said_within_a_second_and_others_are_published() {
    let nats = TestNats::configured(
        r#"
        authorization {
            users: [
                { user: operator, password: none }
                { user: writer, password: secret, permissions: { publish: { deny: "note:written.secret" } } }
            ]
        }
        no_auth_user: operator
        "#,
    )
    .await;
    nats.provision::<Notes>().await;
    let config = nats.config("writers").user("writer", "secret");
    let publisher = JetStreamPublisher::new(&build_client(&config).await.unwrap());
    let began = Instant::now();

    let (denied, fine) = (Written::on("secret", 1), Written::on("p", 1));
    let (denied, fine) = tokio::join!(publisher.publish(&denied), publisher.publish(&fine));

    assert!(
        matches!(&denied, Err(PublishError::Denied { subject }) if subject == "note:written.secret"),
        "{denied:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(1), "{began:?}");
    assert_eq!(fine.unwrap().sequence, 1);
}

// Guard: the size is checked against the server's limit before anything is sent.
#[tokio::test]
async fn event_larger_than_this_server_takes_is_refused() {
    let nats = TestNats::configured("max_payload: 4096").await;
    nats.provision::<Notes>().await;
    let long = Written {
        text: "x".repeat(5000),
        ..Written::on("p", 1)
    };

    let refused = nats.publisher().publish(&long).await;

    assert!(
        matches!(
            refused,
            Err(PublishError::TooLarge {
                size: 5000..,
                limit: 4096,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(nats.publish(&Written::on("p", 1)).await.sequence, 1);
}

// Guard: `publish_all` has a window, and one lane for each key.
#[tokio::test]
async fn many_events_are_on_their_way_at_once_and_those_of_a_page_in_order() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let delay = Duration::from_millis(20);
    let cable = Cable::long(nats.url(), delay).await;
    let publisher = JetStreamPublisher::new(&over(&cable, &nats).await);
    // Three windows full.
    let events: Vec<_> = (0..1536)
        .map(|n| Written::on(&format!("p{}", n % 512), n / 512))
        .collect();
    let began = Instant::now();

    let results = publisher.publish_all(&events).await;

    let one_by_one = 2 * delay * 1536;
    assert!(began.elapsed() < one_by_one / 3, "{:?}", began.elapsed());
    assert_eq!(results.len(), events.len());
    let stored = nats.stored("NOTES", ">").await;
    assert_eq!(stored.len(), events.len());
    let mut last_line = BTreeMap::new();
    for message in &stored {
        let written: Written = serde_json::from_slice(&message.payload).unwrap();
        let before = last_line.insert(written.page, written.line);
        assert_eq!(written.line, before.map_or(0, |line| line + 1));
    }
    for (event, result) in events.iter().zip(results) {
        let place = usize::try_from(result.unwrap().sequence).unwrap();
        let written: Written = serde_json::from_slice(&stored[place - 1].payload).unwrap();
        assert_eq!(&written, event, "the receipt of another event");
    }
}

#[tokio::test]
async fn nothing_of_a_page_is_sent_after_an_event_of_it_that_failed() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let of_each_page = |setting, value| nats.set_stream("NOTES", setting, value);
    of_each_page("max_msgs_per_subject", json!(1)).await;
    of_each_page("discard_new_per_subject", json!(true)).await;
    let too_long = Written {
        text: "x".repeat(2 * 1024 * 1024),
        ..Written::on("long", 1)
    };
    let events = [
        Written::on("full", 1),
        Written::on("full", 2),
        Written::on("full", 3),
        too_long,
        Written::on("long", 2),
        Written::on("fine", 1),
    ];

    let results = nats.publisher().publish_all(&events).await;

    let [one, full, after_full, long, after_long, fine] = &results[..] else {
        panic!("{results:?}");
    };
    assert!(one.is_ok(), "{one:?}");
    assert!(
        matches!(full, Err(PublishError::StreamFull { .. })),
        "{full:?}"
    );
    assert!(
        matches!(after_full, Err(PublishError::AfterFailure { .. })),
        "{after_full:?}"
    );
    assert!(
        matches!(long, Err(PublishError::TooLarge { .. })),
        "{long:?}"
    );
    assert!(
        matches!(after_long, Err(PublishError::AfterFailure { .. })),
        "{after_long:?}"
    );
    assert!(fine.is_ok(), "{fine:?}");
    let stored = nats.stored("NOTES", ">").await;
    let subjects: Vec<_> = stored.iter().map(|m| m.subject.as_str()).collect();
    assert_eq!(subjects.len(), 2, "{subjects:?}");
}

#[tokio::test]
async fn event_for_later_comes_when_it_is_due_and_one_that_is_overdue_at_once() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Due, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    let due = Timestamp::now() + SignedDuration::from_millis(1200);
    let past = Timestamp::now() - SignedDuration::from_hours(1);
    let far = Timestamp::now() + SignedDuration::from_hours(31 * 24);
    let publisher = nats.publisher();

    publisher.publish_at(&Due::of("tea"), due).await.unwrap();
    publisher.publish_at(&Due::of("rent"), past).await.unwrap();
    let refused = publisher.publish_at(&Due::of("pension"), far).await;

    assert!(
        matches!(&refused, Err(PublishError::DueTooLate { stream, .. }) if stream == "REMINDERS"),
        "{refused:?}"
    );
    let calls = listener.until_called(2).await;
    let reminders: Vec<_> = calls
        .iter()
        .map(|call| call.event.reminder.as_str())
        .collect();
    assert_eq!(reminders, ["rent", "tea"]);
    let tea = &calls[1].metadata;
    assert!(
        tea.stored_at() >= due,
        "{} is before {due}",
        tea.stored_at()
    );
    let late = tea.stored_at().duration_since(due);
    assert!(late < SignedDuration::from_secs(5), "{late}");
    assert_eq!(tea.channel(), "reminder:due");
    assert_eq!(tea.source(), "/writers", "our headers travel with it");
    assert!(tea.occurred_at() < due);
    replica.stop().await;
}

#[tokio::test]
async fn later_schedule_takes_the_place_of_the_earlier_and_survives_a_restart() {
    let nats = TestNats::alone().await;
    nats.provision::<Reminders>().await;
    let soon = Timestamp::now() + SignedDuration::from_secs(2);
    let later = Timestamp::now() + SignedDuration::from_secs(4);
    let publisher = nats.publisher();
    publisher.publish_at(&Due::of("tea"), soon).await.unwrap();
    publisher.publish_at(&Due::of("tea"), later).await.unwrap();

    nats.server().kill().await;
    nats.server().restart().await;

    let listener = Scripted::<Due, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    let calls = listener.until_called(1).await;
    assert!(calls[0].metadata.stored_at() >= later);
    nats.until_caught_up(REMINDERS, READERS).await;
    assert_eq!(listener.calls().len(), 1);
    replica.stop().await;
}

#[tokio::test]
async fn schedule_that_the_stream_does_not_take_is_refused_and_not_delivered_at_once() {
    let nats = TestNats::start().await;
    let subjects = json!(["reminder:due.*", "schedule.reminder:due.*"]);
    let stream = json!({ "name": "REMINDERS", "subjects": subjects });
    nats.tell("STREAM.CREATE.REMINDERS", &stream).await;
    let tomorrow = Timestamp::now() + SignedDuration::from_hours(24);

    let refused = nats.publisher().publish_at(&Due::of("tea"), tomorrow).await;

    assert!(
        matches!(&refused, Err(err @ PublishError::Refused { .. }) if !err.is_retryable()),
        "{refused:?}"
    );
    assert!(nats.stored("REMINDERS", ">").await.is_empty());
}

// Guard: `store` tries for 30 s.
#[tokio::test]
async fn publisher_waits_while_the_server_is_away_and_its_event_is_stored_once() {
    let nats = TestNats::alone().await;
    nats.provision::<Notes>().await;
    let publisher = nats.publisher();
    publisher.publish(&Written::on("p", 1)).await.unwrap();
    nats.server().kill().await;

    let publishing = tokio::spawn(async move { publisher.publish(&Written::on("p", 2)).await });
    until("the client knows that the server is away", async || {
        let health = nats.client().health();
        if health.is_ready() { Err(()) } else { Ok(()) }
    })
    .await;
    assert!(!publishing.is_finished());
    nats.server().restart().await;

    let stored = publishing.await.unwrap().unwrap();
    assert_eq!(stored.sequence, 2);
    let messages = nats.stored("NOTES", "note:written.*").await;
    assert_eq!(messages.len(), 2);
}

// Guard: `Client::close` flushes.
#[tokio::test]
async fn closing_sends_what_is_queued() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let client = nats.connect("hasty").await;
    for line in 0..2000 {
        let payload = serde_json::to_vec(&Written::on("p", line)).unwrap();
        let nats = client.nats();
        nats.publish("note:written.p", payload.into())
            .await
            .unwrap();
    }

    client.close().await;

    until("everything is stored", async || {
        let stored = nats.stream_messages(NOTES).await;
        if stored == 2000 { Ok(()) } else { Err(stored) }
    })
    .await;
}

async fn over(cable: &Cable, nats: &TestNats) -> Client {
    let config = nats.config("over-cable").url(cable.url());
    build_client(&config).await.unwrap()
}
