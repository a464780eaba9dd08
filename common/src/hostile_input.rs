//! Nothing that comes off the wire makes this crate panic, and what goes out comes back: what the
//! fuzz targets in `fuzz/` feed with bytes, and our own tests with their corpus.
//!
//! Not for use by anybody else.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use async_nats::{HeaderMap, HeaderName, HeaderValue, Message, Subject};
use bytes::Bytes;
use jiff::Timestamp;

use crate::cloud_events as ce;
use crate::cloud_events::structured;
use crate::dead_letter::DeadLetter;
use crate::dead_letters::Kind;
use crate::event::Event;
use crate::headers::Headers;
use crate::message::Incoming;
use crate::metadata::{Metadata, Position};
use crate::name::Key;
use crate::runner::{Received, read_subject};
use crate::subject_set::{EventVisitor, Listed, SubjectSet as _, is_channel};
use crate::subjects::Subjects;

#[cfg(test)]
mod tests;

/// Where every message of a test comes from.
const REPLY: &str = "$JS.ACK.TICKETS.orders-service.1.7.7.1700000000000000000.0";

/// A message as it lies in a file: its subject, a line for each header, an empty line, its payload.
///
/// It is read as the runner reads it, as each of our events, and buried.
///
/// # Panics
///
/// If the reader does what it must not.
pub fn message(bytes: &[u8]) {
    let Some((head, payload)) = split_once(bytes, b"\n\n") else {
        return;
    };
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let subject = lines.next().unwrap_or_default();
    let pairs = lines.filter_map(|line| line.split_once(": "));
    if let Some(received) = received(subject, REPLY, nats_headers(pairs), payload) {
        for channel in Subjects::ALL {
            channel.visit(&mut Read(&received));
        }
    }
}

/// The payload of an event in structured mode.
///
/// # Panics
///
/// If the reader does what it must not.
pub fn envelope(bytes: &[u8]) {
    let map = nats_headers([("Content-Type", "application/cloudevents+json")].into_iter());
    let Some(received) = received("ticket:created.k", REPLY, map, bytes) else {
        panic!("an event's subject was not read");
    };
    for channel in Subjects::ALL {
        channel.visit(&mut Read(&received));
    }
    // In binary mode, it is the same event.
    if let Ok(Some(event)) = structured::open(&received.headers, &received.payload) {
        let structured = incoming("ticket:created", &received).metadata;
        let mut headers = Headers::new();
        for (name, value) in &event.attributes {
            if let Ok(header) = HeaderName::from_str(&format!("ce-{name}")) {
                headers.set(header, ce::encode(value));
            }
        }
        let received = Received {
            headers,
            payload: event.data,
            ..received
        };
        let binary = incoming("ticket:created", &received).metadata;
        assert_eq!(identity(&binary), identity(&structured));
        assert_eq!(binary.occurred_at(), structured.occurred_at());
        assert_eq!(binary.correlation_id(), structured.correlation_id());
    }
}

/// A name as a header's value, as a key, a channel, a subject, and the reply of a delivery.
///
/// # Panics
///
/// If the name is taken for what it is not.
pub fn name(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let text = &*text;

    let encoded = ce::encode(text);
    assert!(encoded.bytes().all(|byte| matches!(byte, b'!'..=b'~')));
    assert_eq!(ce::try_decode(&encoded).as_deref(), Some(text));
    let _ = (ce::decode(text), ce::is_json(text));
    if let Ok(Some(version)) = ce::schema_version(text, "ticket:created") {
        assert!(version > 0, "forms are counted from 1");
    }
    if let Ok(headers) = Headers::new().with("tenant", text) {
        assert!(!text.chars().any(char::is_control));
        assert_eq!(headers.get("tenant"), Some(text));
    }

    let key = Key::new(text).ok();
    assert_eq!(key.is_some(), is_key(text));
    if is_channel(text) {
        assert!(is_token(text, 64) && text == text.to_ascii_lowercase());
    }
    let subject = read_subject(text);
    assert_eq!(subject.is_some(), is_subject(text), "{text:?}");
    if let Some(key) = key {
        let plain = format!("ticket:created.{key}");
        let redriven = format!("redrive.orders-service.ticket:created.{key}");
        for subject in [&plain, &redriven] {
            let read = read_subject(subject);
            assert_eq!(read, Some(("ticket:created", key.as_str())));
        }
        for channel in Subjects::ALL {
            let filter = format!("{channel}.*");
            let is_own = channel.as_str() == "ticket:created";
            assert_eq!(matches(&filter, &plain), is_own, "{filter} {plain}");
            assert!(!matches(&filter, &redriven), "{filter} {redriven}");
        }
    }
    let _ = received("ticket:created.k", text, HeaderMap::new(), b"");
    let _ = received(text, REPLY, HeaderMap::new(), b"");
}

/// Whether the server takes a subject for one of this form, by its own documents: tokens between
/// dots, `*` for one of them, `>` at the end for one or more.
fn matches(filter: &str, subject: &str) -> bool {
    let filter: Vec<_> = filter.split('.').collect();
    let subject: Vec<_> = subject.split('.').collect();
    match (&filter[..], &subject[..]) {
        ([start @ .., ">"], tokens) if tokens.len() > start.len() => {
            let tokens = &tokens[..start.len()];
            start.iter().zip(tokens).all(|(f, s)| *f == "*" || f == s)
        }
        (filter, tokens) if filter.len() == tokens.len() => {
            filter.iter().zip(tokens).all(|(f, s)| *f == "*" || f == s)
        }
        _ => false,
    }
}

/// Whether the text is one token in the alphabets of our names, looked at letter by letter.
fn is_token(text: &str, longest: usize) -> bool {
    let letters: BTreeSet<char> = ('a'..='z')
        .chain('A'..='Z')
        .chain('0'..='9')
        .chain([':', '_', '-'])
        .collect();
    !text.is_empty() && text.len() <= longest && text.chars().all(|c| letters.contains(&c))
}

fn is_key(text: &str) -> bool {
    is_token(text, 64) && !text.contains(':')
}

/// Whether the text is a channel and a key, or so with a queue group to redrive them to.
fn is_subject(text: &str) -> bool {
    let tokens: Vec<_> = text.split('.').collect();
    matches!(&tokens[..], [_, _] | ["redrive", _, _, _])
}

fn received(subject: &str, reply: &str, headers: HeaderMap, payload: &[u8]) -> Option<Received> {
    Received::read(Message {
        subject: Subject::from(subject),
        reply: Some(Subject::from(reply)),
        payload: Bytes::copy_from_slice(payload),
        headers: Some(headers),
        status: None,
        description: None,
        length: 0,
    })
}

/// The headers of these lines that the client would hand over.
fn nats_headers<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        if let (Ok(name), Ok(value)) = (HeaderName::from_str(name), HeaderValue::from_str(value)) {
            map.append(name, value);
        }
    }
    map
}

fn split_once<'b>(bytes: &'b [u8], separator: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes
        .windows(separator.len())
        .position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

fn incoming(channel: &'static str, received: &Received) -> Incoming {
    // What is no key never reaches the reader; its payload may be an event still.
    let key = Key::new(received.key.as_str()).unwrap_or_else(|_| Key::from_valid("k".to_owned()));
    Incoming::read(
        channel,
        key,
        received.position.clone(),
        1,
        received.headers.clone(),
        received.payload.clone(),
    )
}

fn identity(metadata: &Metadata) -> (&str, &str) {
    (metadata.source(), metadata.id())
}

/// Reads the message as every event that it is shown.
struct Read<'m>(&'m Received);

impl EventVisitor for Read<'_> {
    fn visit<E: Event>(&mut self) {
        let Self(received) = self;
        let channel = <E as Listed>::CHANNEL;
        let incoming = incoming(channel, received);
        let metadata = &*incoming.metadata;
        let (source, id) = identity(metadata);
        assert!(!source.is_empty() && !id.is_empty());
        let _ = (
            metadata.occurred_at(),
            metadata.correlation_id(),
            metadata.causation_id(),
            metadata.attribute("tenant"),
            metadata.schema_version(),
        );
        match incoming.decode::<E>() {
            Ok(event) => assert_eq!(
                event.key(),
                metadata.key,
                "an event is what its subject says"
            ),
            Err(err) => {
                let _ = crate::error::Chain(&err).to_string();
            }
        }
        survives_its_death(channel, received, metadata);
    }
}

/// The letter can be stored, and a copy of it is the same event, wherever it stands.
fn survives_its_death(channel: &'static str, received: &Received, original: &Metadata) {
    let letter = DeadLetter {
        group: "orders-service",
        channel,
        key: &received.key,
        position: &received.position,
        headers: &received.headers,
        payload: &received.payload,
        kind: Kind::Undecodable,
        reason: String::new(),
        attempts: 1,
    };
    let (headers, payload) = letter.whole();
    assert_eq!(payload, received.payload, "a letter keeps the bytes");
    let position = Position {
        stream: "ORDERS".to_owned(),
        sequence: 1,
        stored_at: Timestamp::UNIX_EPOCH,
    };
    let copy = Received {
        headers,
        payload,
        position,
        ..Received::clone(received)
    };
    let copy = incoming(channel, &copy);
    if copy.data.is_ok() {
        assert_eq!(identity(&copy.metadata), identity(original));
    }
}
