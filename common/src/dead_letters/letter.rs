use std::borrow::Cow;

use async_nats::HeaderName;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use super::kind::Kind;
use crate::client::{ApiError, Client};
use crate::dead_letter as record;
use crate::headers::Headers;
use crate::metadata::said;
use crate::runner::read_subject;
use crate::stored::{RawMessage, decode_base64};
use crate::topology::STREAM_NOT_FOUND;

/// A message that a queue group, or the server, has given up.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Its number among the dead letters.
    pub sequence: u64,
    /// The queue group that failed.
    pub group: String,
    /// The channel. `None`: the server gave it up, and the original is not in its stream any more.
    pub channel: Option<String>,
    /// What the event is about: the id of its aggregate. `None`: as for the channel.
    pub key: Option<String>,
    /// Why it is dead. `None`: for a reason that this version does not know.
    pub kind: Option<Kind>,
    /// Why it is dead, in a sentence.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// How often the event was sent again before, and died again.
    pub redrives: u32,
    /// Where the original is, or was. `None`: the letter does not say.
    pub origin: Option<Origin>,
    /// When it died.
    pub died_at: Timestamp,
    /// How much of the original is here.
    pub holds: Holds,
    /// The original's headers, as far as they are here.
    pub headers: Headers,
    /// The original's payload, if it is here.
    pub payload: Bytes,
}

/// A message's place in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The stream.
    pub stream: String,
    /// The number in the stream, the first being 1.
    pub sequence: u64,
    /// When the server stored it. `None`: that is not known, for it is gone.
    pub stored_at: Option<Timestamp>,
}

/// How much of its original a dead letter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Headers and payload.
    Everything,
    /// The headers; the payload stays in the original's stream.
    Headers,
    /// Nothing; headers and payload stay in the original's stream.
    Nothing,
    /// The payload is a JSON object with `headers` and `payload` of the original, both in base 64: its headers kill
    /// the connection of whoever receives them.
    Encoded,
}

impl Letter {
    /// Whether the event was sent again at least so often, and died again each time.
    #[must_use]
    pub fn is_parked_at(&self, limit: u32) -> bool {
        self.redrives >= limit
    }

    /// The payload as it was published. `None`: it is not here.
    #[must_use]
    pub fn original_payload(&self) -> Option<Cow<'_, [u8]>> {
        #[derive(Deserialize)]
        struct Encoded {
            payload: String,
        }
        match self.holds {
            Holds::Everything => Some(Cow::Borrowed(&self.payload)),
            Holds::Headers | Holds::Nothing => None,
            Holds::Encoded => {
                let encoded: Encoded = serde_json::from_slice(&self.payload).ok()?;
                decode_base64(&encoded.payload).map(Cow::Owned)
            }
        }
    }

    /// Reads a message of the stream of dead letters. `None`: it is no letter.
    pub(super) async fn read(
        client: &Client,
        message: &RawMessage,
    ) -> Result<Option<Self>, ApiError> {
        if message.subject.starts_with("$JS.EVENT.") {
            return GivenUp::read(client, message).await;
        }
        Ok(Self::of_runner(message))
    }

    /// Reads what a runner has written down, and takes what it does not say as it comes: anybody who may can publish
    /// a letter.
    fn of_runner(message: &RawMessage) -> Option<Self> {
        let mut tokens = message.subject.strip_prefix("dead-letter.")?.split('.');
        let (group, channel, key) = (tokens.next()?, tokens.next()?, tokens.next()?);
        let headers = message.headers().unwrap_or_default();
        let note = |name: &HeaderName| said(&headers, name);
        let time = |name: &HeaderName| note(name).and_then(|time| time.parse().ok());
        let origin = || {
            Some(Origin {
                stream: note(&record::STREAM)?.into_owned(),
                sequence: note(&record::SEQUENCE)?.parse().ok()?,
                stored_at: Some(time(&record::STORED_AT)?),
            })
        };
        Some(Self {
            sequence: message.sequence,
            group: group.to_owned(),
            channel: Some(channel.to_owned()),
            key: Some(key.to_owned()),
            kind: note(&record::KIND).and_then(|kind| kind.parse().ok()),
            reason: note(&record::REASON).unwrap_or_default().into_owned(),
            attempts: note(&record::ATTEMPTS)
                .and_then(|attempts| attempts.parse().ok())
                .unwrap_or_default(),
            redrives: record::redrives(&headers).unwrap_or_default(),
            origin: origin(),
            died_at: time(&record::DIED_AT).unwrap_or(message.time),
            holds: match headers.known(&record::BODY) {
                Some(record::RAW_MESSAGE) => Holds::Encoded,
                Some(record::IN_STREAM) => Holds::Headers,
                Some(record::ALL_IN_STREAM) => Holds::Nothing,
                Some(_) | None => Holds::Everything,
            },
            headers: headers.without_record(),
            payload: message.payload(),
        })
    }
}

/// What the server says of a message that it gives up.
#[derive(Deserialize)]
struct GivenUp {
    timestamp: Timestamp,
    stream: String,
    consumer: String,
    stream_seq: u64,
    deliveries: u32,
}

impl GivenUp {
    async fn read(client: &Client, message: &RawMessage) -> Result<Option<Letter>, ApiError> {
        let Ok(given_up) = serde_json::from_slice::<Self>(&message.payload()) else {
            return Ok(None);
        };
        let Self {
            timestamp,
            stream,
            consumer,
            stream_seq,
            deliveries,
        } = given_up;
        let original = match RawMessage::read(client, &stream, stream_seq).await {
            // One that is younger is of a stream that was created again, and counts from 1.
            Ok(original) => original.filter(|original| original.time <= timestamp),
            Err(err) if err.code() == Some(STREAM_NOT_FOUND) => None,
            Err(err) => return Err(err),
        };
        let (channel, key) = original
            .as_ref()
            .and_then(|original| read_subject(&original.subject))
            .unzip();
        let headers = original.as_ref().and_then(RawMessage::headers);
        let headers = headers.unwrap_or_default();
        Ok(Some(Letter {
            sequence: message.sequence,
            group: consumer,
            channel: channel.map(str::to_owned),
            key: key.map(str::to_owned),
            kind: Some(Kind::GivenUp),
            reason: format!("delivered {deliveries} times, and never settled"),
            attempts: deliveries,
            redrives: record::redrives(&headers).unwrap_or_default(),
            origin: Some(Origin {
                stream,
                sequence: stream_seq,
                stored_at: original.as_ref().map(|original| original.time),
            }),
            died_at: timestamp,
            holds: Holds::Nothing,
            headers: headers.without_record(),
            payload: Bytes::new(),
        }))
    }
}
