use std::borrow::Cow;
use std::str::FromStr as _;

use async_nats::HeaderName;
use jiff::Timestamp;

use crate::cloud_events as ce;
use crate::cloud_events::structured::Attributes;
use crate::headers::{Headers, starts};
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
    /// Of an event in structured mode. Its headers say nothing of it then.
    attributes: Option<Attributes>,
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
        .map(ce::decode)
        .filter(|value| !value.is_empty())
}

impl Metadata {
    /// Reads the attributes, or the headers if there are none. The reader is liberal: a message
    /// without any is a valid event, whose id is then made of its place in the stream.
    pub(crate) fn read(
        channel: &'static str,
        key: Key,
        position: Position,
        attempt: u32,
        headers: Headers,
        attributes: Option<Attributes>,
    ) -> Self {
        let mut metadata = Self {
            id: String::new(),
            source: String::new(),
            channel,
            key,
            schema_version: None,
            position,
            attempt,
            headers,
            attributes,
        };
        let id = metadata.said(&ce::ID).map(Cow::into_owned);
        metadata.id = id.unwrap_or_else(|| metadata.position.id());
        let source = metadata.said(&ce::SOURCE).map(Cow::into_owned);
        metadata.source = source.unwrap_or_else(|| metadata.position.source());
        metadata.schema_version = metadata.form().unwrap_or_default();
        metadata
    }

    /// The number of the form that the event says it has.
    pub(crate) fn form(&self) -> Result<Option<usize>, ce::NoForm> {
        self.said(&ce::DATA_SCHEMA)
            .map_or(Ok(None), |name| ce::schema_version(&name, self.channel))
    }

    /// The attribute that stands in the header of that name, in binary mode.
    pub(crate) fn said(&self, header: &HeaderName) -> Option<Cow<'_, str>> {
        let Some(attributes) = &self.attributes else {
            return said(&self.headers, header);
        };
        let header: &str = header.as_ref();
        let value = attributes.get(header.strip_prefix("ce-")?)?;
        Some(Cow::Borrowed(value))
    }

    /// What the payload is said to be. `None`: nothing is said, and it is JSON.
    pub(crate) fn content_type(&self) -> Option<Cow<'_, str>> {
        self.said(&ce::DATA_CONTENT_TYPE)
            .or_else(|| self.said(&ce::CONTENT_TYPE))
    }

    /// A header whose value is no text, and its value: the bytes that it encodes are no UTF-8.
    pub(crate) fn garbled(&self) -> Option<(&str, &str)> {
        if self.attributes.is_some() {
            return None;
        }
        self.headers
            .firsts()
            .filter(|(name, value)| starts(name, "ce-") && ce::try_decode(value).is_none())
            .min()
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

    /// The number of the event's form. `None`: the publisher did not say, or by a name that is not ours,
    /// and it is read as the present one.
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
        self.said(&ce::TIME)
            .and_then(|time| time.parse().ok())
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
        self.said(&ce::CORRELATION_ID)
    }

    /// The id of the event whose handling published this one. `None`: it was no event.
    #[must_use]
    pub fn causation_id(&self) -> Option<Cow<'_, str>> {
        self.said(&ce::CAUSATION_ID)
    }

    /// An attribute of the event's CloudEvents envelope, such as one of an extension: `tenant` is the
    /// header `ce-tenant`, decoded, or in structured mode the member `tenant`. `None`: there is none,
    /// or it is empty.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        let header = HeaderName::from_str(&format!("ce-{name}")).ok()?;
        self.said(&header)
    }

    /// Everything that travelled beside the payload, as it came.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }
}
