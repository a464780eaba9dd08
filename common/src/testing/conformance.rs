//! What every publisher does, as one suite: the recording one passes it here, those that need a
//! server or a database pass it in the integration tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::event::{Event, schema_version};
use crate::headers::Headers;
use crate::message::{MAX_SIZE, caused_by};
use crate::metadata::Metadata;
use crate::publisher::{PublishError, Publisher};
use crate::subject_set::{Listed, SubjectSet as _};
use crate::subjects::Subjects;
use crate::testing::{Envelope, Published, sample};

/// A publisher with a way to see what it has stored.
pub trait Harness: Sync {
    /// The publisher.
    type Publisher<'h>: Publisher
    where
        Self: 'h;

    /// A publisher to publish with: of a database, in a new transaction.
    fn open(&self) -> impl Future<Output = Self::Publisher<'_>> + Send;

    /// Ends what [`open`](Self::open) began, so that what was published is stored: commits. It may
    /// fail after an event was refused, for nothing is stored then.
    fn close<'h>(&'h self, publisher: Self::Publisher<'h>) -> impl Future<Output = ()> + Send;

    /// What was stored since the last call, in the order of its storage.
    fn stored(&self) -> impl Future<Output = Vec<Published>> + Send;
}

/// Checks a publisher.
///
/// # Panics
///
/// If it does not conform. The message says in what.
pub async fn check<H: Harness>(harness: &H) {
    every_event_arrives_whole(harness).await;
    events_of_one_key_keep_their_order(harness).await;
    headers_of_a_user_travel_and_cannot_command(harness).await;
    event_that_is_too_large_is_refused_and_not_stored(harness).await;
    event_published_in_a_handler_names_its_cause(harness).await;
}

async fn every_event_arrives_whole<H: Harness>(harness: &H) {
    let mut checked = Checked::default();
    arrives_whole(harness, &sample::ticket_created(), &mut checked).await;
    arrives_whole(harness, &sample::ticket_updated(), &mut checked).await;
    arrives_whole(harness, &sample::order_created(), &mut checked).await;
    arrives_whole(harness, &sample::order_cancelled(), &mut checked).await;
    arrives_whole(harness, &sample::order_completed(), &mut checked).await;
    arrives_whole(harness, &sample::expiration_complete(), &mut checked).await;
    arrives_whole(harness, &sample::payment_created(), &mut checked).await;
    arrives_whole(harness, &sample::payment_refunded(), &mut checked).await;
    let all: BTreeSet<_> = Subjects::ALL
        .iter()
        .map(|subject| subject.as_str())
        .collect();
    assert_eq!(
        checked.channels, all,
        "an event of the list was not checked"
    );
    assert_eq!(checked.ids.len(), all.len(), "two events have one id");
}

#[derive(Default)]
struct Checked {
    channels: BTreeSet<&'static str>,
    ids: BTreeSet<String>,
}

async fn arrives_whole<H: Harness, E: Event>(harness: &H, event: &E, checked: &mut Checked) {
    let channel = <E as Listed>::CHANNEL;
    let begun = Timestamp::now();

    let message = publish_one(harness, event, &Headers::new()).await;

    let key = event.key();
    assert_eq!(message.subject(), format!("{channel}.{key}"));
    assert_same_json(&message, event);
    let id = header(&message, "ce-id").to_owned();
    let time = header(&message, "ce-time").to_owned();
    let source = format!("/{}", <E as Listed>::PRODUCER);
    let stem = channel.replace(':', ".");
    let data_schema = format!("urn:sgtickets:{stem}:{}", schema_version::<E>());
    let expected = [
        ("Content-Type", "application/json"),
        ("Nats-Msg-Id", &id),
        ("ce-datacontenttype", "application/json"),
        ("ce-dataschema", &data_schema),
        ("ce-id", &id),
        ("ce-source", &source),
        ("ce-specversion", "1.0"),
        ("ce-subject", key.as_str()),
        ("ce-time", &time),
        ("ce-type", channel),
    ];
    let expected: BTreeMap<_, _> = expected
        .map(|(name, value)| (name.to_owned(), vec![value.to_owned()]))
        .into();
    assert_eq!(message.headers(), &expected, "headers of `{channel}`");
    let version = Uuid::try_parse(&id).map(|id| id.get_version_num());
    assert_eq!(version, Ok(7), "ce-id `{id}` is no UUID of version 7");
    let time: Result<Timestamp, _> = time.parse();
    assert!(
        time.as_ref()
            .is_ok_and(|time| (begun..=Timestamp::now()).contains(time)),
        "ce-time {time:?} is not when it was published"
    );
    checked.channels.insert(channel);
    checked.ids.insert(id);
}

async fn events_of_one_key_keep_their_order<H: Harness>(harness: &H) {
    let created = sample::ticket_created();
    let mut updated = sample::ticket_updated();
    updated.id = created.id;

    let mut publisher = harness.open().await;
    accepted(publisher.publish(&created).await);
    accepted(publisher.publish(&updated).await);
    harness.close(publisher).await;

    let stored = harness.stored().await;
    let [first, second] = &stored[..] else {
        panic!("two events were published, and these are stored: {stored:?}");
    };
    assert_same_json(first, &created);
    assert_same_json(second, &updated);
}

async fn headers_of_a_user_travel_and_cannot_command<H: Harness>(harness: &H) {
    for (name, value) in [
        ("Nats-Rollup", "all"),
        ("nats-msg-id", "1"),
        ("Nats-Expected-Last-Sequence", "1"),
        ("ce-id", "1"),
        ("CE-Type", "other"),
        ("content-type", "text/plain"),
        ("dead-letter-reason", "none"),
        ("tenant", "a\rNats-Rollup: all"),
        ("tenant", "a\r\nNats-Rollup: all"),
        ("tenant\r\nNats-Rollup", "all"),
        ("tenant: a", "b"),
        ("", "a"),
    ] {
        let refused = Headers::new().with(name, value);
        assert!(refused.is_err(), "a user could set {name:?} to {value:?}");
    }
    let own = accepted(Headers::new().with("tenant", "Käse \"100 %\""));

    let message = publish_one(harness, &sample::ticket_created(), &own).await;

    assert_eq!(header(&message, "tenant"), "Käse \"100 %\"");

    // What came in may hold anything that somebody else has sent, and may be handed on whole.
    let received = r#"[["Nats-Rollup","all"],["Nats-TTL","1s"],["Nats-Msg-Id","a"],["ce-id","b"],["ce-causationid","c"],["tenant","acme"]]"#;
    let received: Headers = accepted(serde_json::from_str(received));

    let message = publish_one(harness, &sample::ticket_created(), &received).await;

    assert_eq!(header(&message, "tenant"), "acme");
    for name in ["Nats-Rollup", "Nats-TTL", "ce-causationid"] {
        assert_eq!(message.header(name), None, "{name} was handed on");
    }
    assert_ne!(header(&message, "ce-id"), "b");
    assert_eq!(message.header("Nats-Msg-Id"), message.header("ce-id"));
}

async fn event_that_is_too_large_is_refused_and_not_stored<H: Harness>(harness: &H) {
    let value = "x".repeat(4096);
    let large = (0..=MAX_SIZE / value.len()).fold(Headers::new(), |headers, nth| {
        accepted(headers.with(&format!("part-{nth}"), &value))
    });

    let mut publisher = harness.open().await;
    let refused = publisher
        .publish_with(&sample::ticket_created(), &large)
        .await
        .err();
    harness.close(publisher).await;

    assert!(
        matches!(refused, Some(PublishError::TooLarge { size, limit, .. }) if size > limit),
        "an event of more than {MAX_SIZE} bytes: {refused:?}"
    );
    assert_eq!(harness.stored().await, [], "it was refused and stored");
}

async fn event_published_in_a_handler_names_its_cause<H: Harness>(harness: &H) {
    let beginning = Envelope::of(&sample::order_created()).id("order 1");
    let metadata = Arc::clone(&beginning.incoming().metadata);

    let second = caused(harness, metadata).await;

    assert_eq!(header(&second, "ce-causationid"), "order%201");
    assert_eq!(header(&second, "ce-correlationid"), "order%201");

    let metadata = metadata_of(&second);
    let third = caused(harness, metadata).await;

    assert_eq!(third.header("ce-causationid"), second.header("ce-id"));
    assert_eq!(header(&third, "ce-correlationid"), "order%201");

    let outside = publish_one(harness, &sample::ticket_created(), &Headers::new()).await;
    assert_eq!(outside.header("ce-causationid"), None, "nothing caused it");
}

/// Publishes as the handling of the event that `cause` tells of.
async fn caused<H: Harness>(harness: &H, cause: Arc<Metadata>) -> Published {
    let event = sample::ticket_updated();
    caused_by(cause, publish_one(harness, &event, &Headers::new())).await
}

fn metadata_of(message: &Published) -> Arc<Metadata> {
    let pairs: Vec<_> = message
        .headers()
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| [name, value]))
        .collect();
    let headers = accepted(serde_json::to_value(pairs).and_then(serde_json::from_value));
    let envelope = Envelope::of(&sample::ticket_updated()).headers(headers);
    Arc::clone(&envelope.incoming().metadata)
}

async fn publish_one<H: Harness, E: Event>(harness: &H, event: &E, headers: &Headers) -> Published {
    let mut publisher = harness.open().await;
    accepted(publisher.publish_with(event, headers).await);
    harness.close(publisher).await;
    let mut stored = harness.stored().await;
    match stored.pop() {
        Some(message) if stored.is_empty() => message,
        last => panic!("one event was published, and these are stored: {stored:?} {last:?}"),
    }
}

#[track_caller]
fn assert_same_json<E: Event>(message: &Published, event: &E) {
    let stored: serde_json::Value = accepted(serde_json::from_slice(message.payload()));
    let published = accepted(serde_json::to_value(event));
    assert_eq!(stored, published, "payload on `{}`", message.subject());
}

#[track_caller]
fn header<'m>(message: &'m Published, name: &str) -> &'m str {
    match message.header(name) {
        Some(value) => value,
        None => panic!("`{}` has no header {name}", message.subject()),
    }
}

#[track_caller]
fn accepted<T, E: Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(err) => panic!("was refused: {err:?}"),
    }
}
