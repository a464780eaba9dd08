use std::borrow::Cow;

use async_nats::HeaderName;
use jiff::Timestamp;

use crate::cloud_events as ce;
use crate::headers::Headers;
use crate::name::Key;

/// What is known of a delivered event beside its payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) channel: &'static str,
    pub(crate) key: Key,
    pub(crate) schema_version: Option<usize>,
    pub(crate) position: Position,
    pub(crate) attempt: u32,
    pub(crate) headers: Headers,
}

/// Where the server stores a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    pub(crate) stream: String,
    pub(crate) sequence: u64,
    pub(crate) stored_at: Timestamp,
}

/// A message within its stream. The time tells it from one of a re-created stream, which counts
/// from 1 again.
pub(crate) type Place = (u64, Timestamp);

impl Position {
    pub(crate) fn place(&self) -> Place {
        (self.sequence, self.stored_at)
    }

    /// The id of an event that has none of its own. With the time, for a re-created stream counts from 1 again.
    pub(crate) fn id(&self) -> String {
        let Self {
            stream,
            sequence,
            stored_at,
        } = self;
        format!("{stream}:{sequence}:{}", stored_at.as_nanosecond())
    }

    /// The source of an event that names none.
    pub(crate) fn source(&self) -> String {
        format!("/{}", self.stream)
    }
}

/// The value of a header, decoded. `None`: there is none, or it is empty.
pub(crate) fn said<'h>(headers: &'h Headers, name: &HeaderName) -> Option<Cow<'h, str>> {
    headers
        .known(name)
        .filter(|value| !value.is_empty())
        .map(ce::decode)
}

impl Metadata {
    /// Reads the headers. The reader is liberal: a message without any is a valid event, whose id
    /// is then made of its place in the stream.
    pub(crate) fn read(
        channel: &'static str,
        key: Key,
        position: Position,
        attempt: u32,
        headers: Headers,
    ) -> Self {
        let value = |name| said(&headers, &name).map(Cow::into_owned);
        let schema_version = value(ce::DATA_SCHEMA).and_then(|name| ce::schema_version(&name));
        Self {
            id: value(ce::ID).unwrap_or_else(|| position.id()),
            source: value(ce::SOURCE).unwrap_or_else(|| position.source()),
            channel,
            key,
            schema_version,
            position,
            attempt,
            headers,
        }
    }

    /// The event's id, unique within its [`source`](Self::source) (CloudEvents 1.0, section 3.1).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who published: `/tickets-service`.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The channel: `ticket:created`.
    #[must_use]
    pub fn channel(&self) -> &'static str {
        self.channel
    }

    /// What the event is about: the id of its aggregate.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The number of the event's form. `None`: the publisher did not say, and it is read as the present one.
    #[must_use]
    pub fn schema_version(&self) -> Option<usize> {
        self.schema_version
    }

    /// The stream that stores the event.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.position.stream
    }

    /// The event's place in its stream, the first being 1.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.position.sequence
    }

    /// When the server stored the event.
    #[must_use]
    pub fn stored_at(&self) -> Timestamp {
        self.position.stored_at
    }

    /// When it happened, as the publisher says; else when the server stored it.
    #[must_use]
    pub fn occurred_at(&self) -> Timestamp {
        self.headers
            .known(&ce::TIME)
            .and_then(|time| ce::decode(time).parse().ok())
            .unwrap_or(self.position.stored_at)
    }

    /// Which attempt at handling the event this is, the first being 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What all events share that come of one beginning. `None`: this is a beginning.
    #[must_use]
    pub fn correlation_id(&self) -> Option<Cow<'_, str>> {
        self.headers.known(&ce::CORRELATION_ID).map(ce::decode)
    }

    /// The id of the event whose handling published this one. `None`: it was no event.
    #[must_use]
    pub fn causation_id(&self) -> Option<Cow<'_, str>> {
        self.headers.known(&ce::CAUSATION_ID).map(ce::decode)
    }

    /// Everything that travelled beside the payload.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }
}
