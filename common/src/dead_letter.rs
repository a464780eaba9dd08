//! What becomes of a message that cannot be handled: it is stored on `DEAD_LETTERS`, with why, when,
//! how often and where from, and only then taken from its group.

use async_nats::HeaderName;
use bytes::Bytes;
use jiff::Timestamp;

use crate::client::Client;
use crate::cloud_events as ce;
use crate::headers::Headers;
use crate::metadata::Position;
use crate::publisher::{PublishError, store};
use crate::topology::DEAD_LETTERS;

const REASON: HeaderName = HeaderName::from_static("dead-letter-reason");
const KIND: HeaderName = HeaderName::from_static("dead-letter-kind");
const ATTEMPTS: HeaderName = HeaderName::from_static("dead-letter-attempts");
const GROUP: HeaderName = HeaderName::from_static("dead-letter-queue-group");
const STREAM: HeaderName = HeaderName::from_static("dead-letter-stream");
const SEQUENCE: HeaderName = HeaderName::from_static("dead-letter-sequence");
const STORED_AT: HeaderName = HeaderName::from_static("dead-letter-stored-at");
const DIED_AT: HeaderName = HeaderName::from_static("dead-letter-at");
const BODY: HeaderName = HeaderName::from_static("dead-letter-body");

/// The longest reason that is kept, in characters.
const LONGEST_REASON: usize = 500;

/// Why a message is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The handler said that it never will succeed.
    Rejected,
    /// Every attempt failed.
    Exhausted,
    /// It is no event of its channel.
    Undecodable,
    /// No replica knew the channel or the form for an hour.
    Unknown,
    /// Its predecessor can never come.
    PredecessorMissing,
    /// Its headers kill whoever receives it.
    Poison,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Exhausted => "attempts-exhausted",
            Self::Undecodable => "undecodable",
            Self::Unknown => "unknown",
            Self::PredecessorMissing => "predecessor-missing",
            Self::Poison => "poison",
        }
    }
}

/// A dead message, and what is known of its death.
#[derive(Debug)]
pub(crate) struct DeadLetter<'m> {
    pub(crate) group: &'static str,
    pub(crate) channel: &'m str,
    pub(crate) key: &'m str,
    pub(crate) position: &'m Position,
    pub(crate) headers: &'m Headers,
    pub(crate) payload: &'m Bytes,
    pub(crate) kind: Kind,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
}

impl DeadLetter<'_> {
    /// Stores it, once however often this is called.
    pub(crate) async fn store(&self, client: &Client) -> Result<(), PublishError> {
        let Self {
            group,
            channel,
            key,
            ..
        } = self;
        let subject = format!("dead-letter.{group}.{channel}.{key}");
        let headers = self.headers();
        match store(
            client,
            Some(DEAD_LETTERS),
            subject.clone(),
            &headers,
            self.payload,
        )
        .await
        {
            Err(PublishError::TooLarge { .. }) => {
                // What the record adds is too much for the server's limit. The original stays in
                // its stream, and the record says where.
                let mut headers = headers;
                headers.set(BODY, "in-stream");
                store(client, Some(DEAD_LETTERS), subject, &headers, &Bytes::new()).await
            }
            stored => stored,
        }
        .map(|_| ())
    }

    /// The original's headers, less those that command the server, and the record.
    fn headers(&self) -> Headers {
        let Position {
            stream,
            sequence,
            stored_at,
        } = self.position;
        let reason: String = self.reason.chars().take(LONGEST_REASON).collect();
        let mut headers = self.headers.retain(|name| !name.starts_with("Nats-"));
        headers.set(KIND, self.kind.as_str());
        headers.set(REASON, ce::encode(&reason));
        headers.set(ATTEMPTS, self.attempts.to_string());
        headers.set(GROUP, self.group);
        headers.set(STREAM, stream.as_str());
        headers.set(SEQUENCE, sequence.to_string());
        headers.set(STORED_AT, stored_at.to_string());
        headers.set(DIED_AT, Timestamp::now().to_string());
        if self.kind == Kind::Poison {
            headers.set(BODY, "raw-message");
        }
        // With the time, for a re-created stream counts from 1 again.
        headers.set(
            ce::MSG_ID,
            format!(
                "dead:{}:{stream}:{sequence}:{}",
                self.group,
                stored_at.as_nanosecond()
            ),
        );
        headers
    }
}
