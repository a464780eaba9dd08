//! What becomes of a message that cannot be handled: it is stored on `DEAD_LETTERS`, with why, when,
//! how often and where from, and only then taken from its group.

use async_nats::HeaderName;
use bytes::Bytes;
use jiff::Timestamp;

use crate::client::Client;
use crate::cloud_events as ce;
use crate::cloud_events::structured;
use crate::dead_letters::Kind;
use crate::headers::Headers;
use crate::metadata::{Position, said};
use crate::publisher::{PublishError, store};
use crate::topology::DEAD_LETTERS;

pub(crate) const REASON: HeaderName = HeaderName::from_static("dead-letter-reason");
pub(crate) const KIND: HeaderName = HeaderName::from_static("dead-letter-kind");
pub(crate) const ATTEMPTS: HeaderName = HeaderName::from_static("dead-letter-attempts");
pub(crate) const GROUP: HeaderName = HeaderName::from_static("dead-letter-queue-group");
pub(crate) const STREAM: HeaderName = HeaderName::from_static("dead-letter-stream");
pub(crate) const SEQUENCE: HeaderName = HeaderName::from_static("dead-letter-sequence");
pub(crate) const STORED_AT: HeaderName = HeaderName::from_static("dead-letter-stored-at");
pub(crate) const DIED_AT: HeaderName = HeaderName::from_static("dead-letter-at");
pub(crate) const BODY: HeaderName = HeaderName::from_static("dead-letter-body");
/// On a copy, and on the letter of a copy that died again: how often the event was sent again.
pub(crate) const REDRIVES: HeaderName = HeaderName::from_static("dead-letter-redrives");

/// Values of [`BODY`]: the payload is headers and payload of the original, encoded.
pub(crate) const RAW_MESSAGE: &str = "raw-message";
/// The payload is in the original's stream.
pub(crate) const IN_STREAM: &str = "in-stream";
/// Payload and headers are in the original's stream.
pub(crate) const ALL_IN_STREAM: &str = "all-in-stream";

/// The longest reason that is kept, in characters.
const LONGEST_REASON: usize = 500;

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

/// Where the dead letters of a group are, for one key of a channel.
pub(crate) fn subject(group: &str, channel: &str, key: &str) -> String {
    format!("dead-letter.{group}.{channel}.{key}")
}

/// Where a group alone hears what is sent again, for one key of a channel.
pub(crate) fn redrive_subject(group: &str, channel: &str, key: &str) -> String {
    format!("redrive.{group}.{channel}.{key}")
}

/// How often an event with these headers was sent again. `None`: it never was.
pub(crate) fn redrives(headers: &Headers) -> Option<u32> {
    headers.known(&REDRIVES)?.parse().ok()
}

/// Gives a copy of a message the identity that the message has by its place, if it names none: at another place,
/// another would be made of that, and the inbox would not know the event again.
pub(crate) fn keep_identity(copy: &mut Headers, original: &Headers, position: &Position) {
    // What is structured has its identity in the payload.
    if structured::is_said(original) {
        return;
    }
    if said(original, &ce::ID).is_none() {
        copy.set(ce::ID, ce::encode(&position.id()));
    }
    if said(original, &ce::SOURCE).is_none() {
        copy.set(ce::SOURCE, ce::encode(&position.source()));
    }
}

/// How much of the original a dead letter holds. The original stays in its stream, and the record says where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Headers and payload.
    All,
    /// What the record adds is too much for the server's limit.
    Headers,
    /// The original is nearly all headers, and the record alone is small enough.
    Nothing,
}

impl DeadLetter<'_> {
    /// Stores it, with as much of the original as the server takes.
    ///
    /// Once, however often this is called within the server's duplicate window of two minutes; later, once more.
    pub(crate) async fn store(&self, client: &Client) -> Result<(), PublishError> {
        match self.store_with(client, Holds::All).await {
            Err(PublishError::TooLarge { .. }) => (),
            stored => return stored,
        }
        match self.store_with(client, Holds::Headers).await {
            Err(PublishError::TooLarge { .. }) => self.store_with(client, Holds::Nothing).await,
            stored => stored,
        }
    }

    async fn store_with(&self, client: &Client, holds: Holds) -> Result<(), PublishError> {
        let Self {
            group,
            channel,
            key,
            ..
        } = self;
        let subject = subject(group, channel, key);
        let (headers, payload) = self.message(holds);
        store(client, Some(DEAD_LETTERS), subject, &headers, &payload)
            .await
            .map(|_| ())
    }

    /// The letter as it is stored where the server's limit allows.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn whole(&self) -> (Headers, Bytes) {
        self.message(Holds::All)
    }

    fn message(&self, holds: Holds) -> (Headers, Bytes) {
        let original = match holds {
            Holds::All | Holds::Headers => self.headers.without_record(),
            Holds::Nothing => Headers::new(),
        };
        let mut headers = self.record(original);
        match holds {
            Holds::All if self.kind == Kind::Poison => headers.set(BODY, RAW_MESSAGE),
            Holds::All => (),
            Holds::Headers => headers.set(BODY, IN_STREAM),
            Holds::Nothing => headers.set(BODY, ALL_IN_STREAM),
        }
        let payload = match holds {
            Holds::All => self.payload.clone(),
            Holds::Headers | Holds::Nothing => Bytes::new(),
        };
        (headers, payload)
    }

    /// Adds to the original's headers why, when, how often and where from.
    fn record(&self, mut headers: Headers) -> Headers {
        let Position {
            stream,
            sequence,
            stored_at,
        } = self.position;
        let reason: String = self.reason.chars().take(LONGEST_REASON).collect();
        // What kills by its headers may have an identity among them.
        if self.kind != Kind::Poison {
            keep_identity(&mut headers, self.headers, self.position);
        }
        headers.set(KIND, self.kind.as_str());
        headers.set(REASON, ce::encode(&reason));
        headers.set(ATTEMPTS, self.attempts.to_string());
        headers.set(GROUP, self.group);
        headers.set(STREAM, stream.as_str());
        headers.set(SEQUENCE, sequence.to_string());
        headers.set(STORED_AT, stored_at.to_string());
        headers.set(DIED_AT, Timestamp::now().to_string());
        if let Some(redrives) = redrives(self.headers) {
            headers.set(REDRIVES, redrives.to_string());
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

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;

    use super::*;
    use crate::message::MAX_SIZE;
    use crate::metadata::Metadata;
    use crate::name::Key;

    /// The letter of a message with these headers, which a handler rejected.
    fn letter(headers: &[(&'static str, &str)], holds: Holds) -> (Headers, Bytes) {
        DeadLetter {
            group: "orders-service",
            channel: "ticket:created",
            key: "k",
            position: &position(),
            headers: &received(headers),
            payload: &Bytes::from_static(b"{}"),
            kind: Kind::Rejected,
            reason: "\u{1f480}".repeat(1000),
            attempts: 1,
        }
        .message(holds)
    }

    fn received(headers: &[(&'static str, &str)]) -> Headers {
        let mut map = HeaderMap::new();
        for &(name, value) in headers {
            map.insert(name, value);
        }
        Headers::from_nats(map)
    }

    fn position() -> Position {
        Position {
            stream: "TICKETS".to_owned(),
            sequence: 7,
            stored_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn read(position: Position, headers: Headers) -> Metadata {
        let key = Key::new("k").unwrap();
        Metadata::read("ticket:created", key, position, 1, headers, None)
    }

    #[test]
    fn message_that_is_nearly_all_headers_can_be_buried() {
        let vast = "x".repeat(1024 * 1024);
        let headers = [("tenant", &*vast), ("ce-id", &*vast)];

        let (kept, _) = letter(&headers, Holds::Headers);
        assert!(kept.wire_len() > MAX_SIZE);

        let (headers, payload) = letter(&headers, Holds::Nothing);
        assert!(headers.wire_len() < 16 * 1024, "{}", headers.wire_len());
        assert_eq!(payload, Bytes::new());
        assert_eq!(headers.get("dead-letter-body"), Some("all-in-stream"));
        assert_eq!(headers.get("dead-letter-stream"), Some("TICKETS"));
        assert_eq!(headers.get("dead-letter-sequence"), Some("7"));
    }

    #[test]
    fn letter_holds_the_original_but_what_looks_like_a_record() {
        let headers = [
            ("tenant", "acme"),
            ("Nats-TTL", "1s"),
            ("dead-letter-body", "in-stream"),
            ("Dead-Letter-Reason", "none"),
        ];

        let (headers, payload) = letter(&headers, Holds::All);

        assert_eq!(payload, Bytes::from_static(b"{}"));
        assert_eq!(headers.get("tenant"), Some("acme"));
        for foreign in ["Nats-TTL", "dead-letter-body", "Dead-Letter-Reason"] {
            assert_eq!(headers.get(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn copy_of_a_letter_is_the_same_event() {
        for headers in [
            &[][..],
            &[("ce-id", "a b"), ("ce-source", "/x")],
            &[("ce-id", "")],
        ] {
            let original = read(position(), received(headers));

            let elsewhere = Position {
                sequence: 1000,
                ..position()
            };
            let copy = read(elsewhere, letter(headers, Holds::All).0);

            assert_eq!(copy.id(), original.id(), "{headers:?}");
            assert_eq!(copy.source(), original.source(), "{headers:?}");
        }
    }
}
