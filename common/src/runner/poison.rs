//! Messages whose headers kill the client's connection: a lone carriage return makes its task
//! panic, a header that is no UTF-8 or has a space in its name makes it reconnect at each delivery.
//!
//! They are found by reading, through the API, what was delivered and is not settled; and stored as
//! dead letters with their headers in the body, so that they cannot kill the next reader.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde_json::json;

use super::received::read_subject;
use super::worker::Worker;
use crate::dead_letter::DeadLetter;
use crate::dead_letters::Kind;
use crate::error::Chain;
use crate::headers::Headers;
use crate::metadata::Position;
use crate::stored::RawMessage;
use crate::topology::ConsumerInfo;

/// How many messages are read at once.
const READ_AT_ONCE: usize = 64;
/// When a search is repeated that could not store what it found, at the latest.
const AGAIN: Duration = Duration::from_secs(5);

/// How far a consumer's messages were looked through, so that none is read twice.
#[derive(Debug, Default)]
pub(super) struct Searched {
    /// The life of the connection for which the last search was.
    generation: AtomicU64,
    /// Of the consumer that was created then, up to that message.
    up_to: Mutex<(String, u64)>,
}

impl Searched {
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    pub(super) fn in_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
    }

    /// What is still to be looked through of what the consumer has delivered. One that was created
    /// anew delivers from the beginning.
    fn rest(&self, created: &str, floor: u64, delivered: u64) -> RangeInclusive<u64> {
        let searched = self.up_to.lock().unwrap_or_else(PoisonError::into_inner);
        let up_to = match &*searched {
            (of, up_to) if of == created => *up_to,
            _ => 0,
        };
        floor.max(up_to) + 1..=delivered
    }

    fn note(&self, created: &str, delivered: u64) {
        let mut searched = self.up_to.lock().unwrap_or_else(PoisonError::into_inner);
        *searched = (created.to_owned(), delivered);
    }
}

/// Takes every killer out of what the consumer has delivered and nobody has settled.
pub(super) async fn remove(worker: &Worker, info: &ConsumerInfo) -> Result<(), String> {
    let (floor, delivered) = (info.ack_floor.stream_seq, info.delivered.stream_seq);
    if info.num_ack_pending > 0 {
        let rest = worker.searched.rest(&info.created, floor, delivered);
        tracing::info!(stream = %worker.stream, ?rest, "looking for what kills the connection");
        let mut messages = stream::iter(rest)
            .map(async |sequence| {
                let read = RawMessage::read(&worker.client, worker.stream.as_str(), sequence);
                read.await.map_err(|err| Chain(&err).to_string())
            })
            .buffered(READ_AT_ONCE);
        while let Some(read) = messages.next().await {
            if let Some(message) = read? {
                remove_if_it_kills(worker, info, &message).await?;
            }
        }
    }
    worker.searched.note(&info.created, delivered);
    Ok(())
}

async fn remove_if_it_kills(
    worker: &Worker,
    info: &ConsumerInfo,
    message: &RawMessage,
) -> Result<(), String> {
    let Some((channel, key)) = read_subject(&message.subject) else {
        return Ok(());
    };
    let ours = info
        .filters()
        .iter()
        .any(|filter| takes(filter, &message.subject));
    if !ours || message.headers().is_some() || bury(worker, message, channel, key).await {
        return Ok(());
    }
    let sequence = message.sequence;
    Err(format!(
        "message {sequence} kills the connection and could not be taken out"
    ))
}

async fn bury(worker: &Worker, message: &RawMessage, channel: &str, key: &str) -> bool {
    let sequence = message.sequence;
    let position = Position {
        stream: worker.stream.as_str().to_owned(),
        sequence,
        stored_at: message.time,
    };
    let body = json!({ "headers": message.hdrs, "payload": message.data });
    let letter = DeadLetter {
        group: worker.group.as_str(),
        channel,
        key,
        position: &position,
        headers: &Headers::new(),
        payload: &Bytes::from(body.to_string()),
        kind: Kind::Poison,
        reason: "headers that kill the client's connection".to_owned(),
        attempts: 0,
    };
    if !worker.store(&letter, AGAIN).await {
        return false;
    }
    // The delivery never arrived, and with it the subject to settle it on. The server goes by the
    // stream's sequence alone.
    let reply = format!(
        "$JS.ACK.{}.{}.1.{sequence}.1.{}.0",
        worker.stream,
        worker.group,
        message.time.as_nanosecond(),
    );
    let words = format!("+TERM {}", Kind::Poison.as_str());
    worker.confirm(&Subject::from(reply), words).await
}

/// Whether a filter of the form `a.b.*` takes the subject.
pub(crate) fn takes(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    filter.split('.').all(|wanted| {
        tokens
            .next()
            .is_some_and(|token| wanted == "*" || wanted == token)
    }) && tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_looked_through_twice_until_the_consumer_is_made_anew() {
        let searched = Searched::default();
        assert_eq!(searched.rest("monday", 0, 10), 1..=10);
        searched.note("monday", 10);
        assert!(searched.rest("monday", 4, 10).is_empty());
        assert_eq!(searched.rest("monday", 4, 12), 11..=12);
        assert_eq!(searched.rest("monday", 11, 12), 12..=12);
        assert_eq!(searched.rest("tuesday", 0, 64), 1..=64);
    }

    #[test]
    fn filter_takes_what_the_server_takes() {
        assert!(takes("a:b.*", "a:b.k"));
        assert!(!takes("a:b.*", "a:b"));
        assert!(!takes("a:b.*", "a:b.k.l"));
        assert!(takes("redrive.g.a:b.*", "redrive.g.a:b.k"));
        assert!(!takes("redrive.g.a:b.*", "redrive.h.a:b.k"));
    }
}
