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
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::time::Instant;

use super::consumer::part;
use super::received::read_subject;
use super::worker::Worker;
use crate::dead_letter::DeadLetter;
use crate::dead_letters::Kind;
use crate::error::Chain;
use crate::headers::Headers;
use crate::health::{Health, Severity};
use crate::metadata::Position;
use crate::stored::RawMessage;
use crate::topology::ConsumerInfo;

/// How many spans are read at once.
const READ_AT_ONCE: usize = 64;
/// How many places of the stream are a span: read one after the other, and noted together.
const SPAN: usize = 64;
/// How often it is told how far a search is.
const TELL: Duration = Duration::from_secs(10);
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

    fn note(&self, created: &str, sequence: u64) {
        let mut searched = self.up_to.lock().unwrap_or_else(PoisonError::into_inner);
        *searched = (created.to_owned(), sequence);
    }
}

/// Takes every killer out of what the consumer has delivered and nobody has settled.
pub(super) async fn remove(worker: &Worker, info: &ConsumerInfo) -> Result<(), String> {
    let (floor, delivered) = (info.ack_floor.stream_seq, info.delivered.stream_seq);
    if info.num_ack_pending > 0 {
        let search = Search {
            searched: &worker.searched,
            created: &info.created,
            health: worker.client.health(),
            part: part(worker.group, worker.stream),
        };
        let rest = worker.searched.rest(&info.created, floor, delivered);
        search.remove_from(worker, &info.filters(), rest).await?;
    }
    worker.searched.note(&info.created, delivered);
    Ok(())
}

/// The messages of a stream, among which there may be killers.
trait Messages: Sync {
    /// The first one from `sequence` on that the filter takes.
    fn next(
        &self,
        sequence: u64,
        filter: &str,
    ) -> impl Future<Output = Result<Option<RawMessage>, String>> + Send;

    fn take_out(&self, killer: &RawMessage) -> impl Future<Output = Result<(), String>> + Send;
}

impl Messages for Worker {
    async fn next(&self, sequence: u64, filter: &str) -> Result<Option<RawMessage>, String> {
        RawMessage::next(&self.client, self.stream.as_str(), sequence, filter)
            .await
            .map_err(|err| Chain(&err).to_string())
    }

    async fn take_out(&self, killer: &RawMessage) -> Result<(), String> {
        let Some((channel, key)) = read_subject(&killer.subject) else {
            return Ok(());
        };
        if bury(self, killer, channel, key).await {
            return Ok(());
        }
        let sequence = killer.sequence;
        Err(format!(
            "message {sequence} kills the connection and could not be taken out"
        ))
    }
}

/// A search, and who hears of it: nothing is consumed meanwhile.
struct Search<'s> {
    searched: &'s Searched,
    created: &'s str,
    health: &'s Health,
    part: String,
}

impl Search<'_> {
    /// Takes out the killers among what the filters take. What was looked through is noted at once: the
    /// next search goes on there, whatever ends this one.
    async fn remove_from(
        &self,
        messages: &impl Messages,
        filters: &[&str],
        rest: RangeInclusive<u64>,
    ) -> Result<(), String> {
        if rest.is_empty() {
            return Ok(());
        }
        self.tell(&rest, rest.start() - 1);
        let mut told = Instant::now();
        let mut spans = stream::iter(rest.clone().step_by(SPAN))
            .map(|first| {
                let last = (first + SPAN as u64 - 1).min(*rest.end());
                killers_in(messages, filters, first..=last)
            })
            .buffered(READ_AT_ONCE);
        while let Some((last, killers)) = spans.try_next().await? {
            for killer in killers {
                messages.take_out(&killer).await?;
                self.searched.note(self.created, killer.sequence);
            }
            self.searched.note(self.created, last);
            if told.elapsed() >= TELL {
                self.tell(&rest, last);
                told = Instant::now();
            }
        }
        Ok(())
    }

    fn tell(&self, rest: &RangeInclusive<u64>, up_to: u64) {
        let before = rest.start() - 1;
        let (done, all) = (up_to - before, rest.end() - before);
        let message =
            format!("looking for what kills the connection: {done} of {all} looked through");
        self.health.report(&self.part, Severity::NotReady, message);
    }
}

/// The killers of a span in their order, and its last place.
async fn killers_in(
    messages: &impl Messages,
    filters: &[&str],
    span: RangeInclusive<u64>,
) -> Result<(u64, Vec<RawMessage>), String> {
    let mut killers = Vec::new();
    for filter in filters {
        let mut sequence = *span.start();
        while let Some(message) = messages.next(sequence, filter).await? {
            if message.sequence > *span.end() {
                break;
            }
            sequence = message.sequence + 1;
            if message.headers().is_none() {
                killers.push(message);
            }
        }
    }
    killers.sort_by_key(|killer| killer.sequence);
    Ok((*span.end(), killers))
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

    /// A thousand messages: those of even places are another group's, every hundredth of either kind is a
    /// killer.
    #[derive(Default)]
    struct Thousand {
        health: Health,
        /// What cannot be read just now.
        away: AtomicU64,
        asked: Mutex<Vec<u64>>,
        taken_out: Mutex<Vec<u64>>,
    }

    const OURS: &str = "a:b.*";

    impl Thousand {
        async fn search(&self, searched: &Searched) -> Result<(), String> {
            self.asked.lock().unwrap().clear();
            let search = Search {
                searched,
                created: "monday",
                health: &self.health,
                part: "consumer".to_owned(),
            };
            let rest = searched.rest("monday", 0, 1000);
            search.remove_from(self, &[OURS], rest).await
        }
    }

    impl Messages for Thousand {
        async fn next(&self, sequence: u64, filter: &str) -> Result<Option<RawMessage>, String> {
            assert!(!self.health.is_ready(), "it is searched while ready");
            let found = (sequence..=1000).find(|nth| (nth % 2 == 1) == (filter == OURS));
            if found == Some(self.away.load(Ordering::Relaxed)) {
                return Err("time-out".to_owned());
            }
            let message = found.map(|sequence| RawMessage {
                subject: "a:b.k".to_owned(),
                sequence,
                time: jiff::Timestamp::UNIX_EPOCH,
                // NATS/1.0\r\na: b\rc\r\n\r\n
                hdrs: match sequence % 100 {
                    0 | 1 => "TkFUUy8xLjANCmE6IGINYw0KDQo=".to_owned(),
                    _ => String::new(),
                },
                data: String::new(),
            });
            self.asked.lock().unwrap().extend(found);
            Ok(message)
        }

        async fn take_out(&self, killer: &RawMessage) -> Result<(), String> {
            self.taken_out.lock().unwrap().push(killer.sequence);
            Ok(())
        }
    }

    #[tokio::test]
    async fn search_that_fails_goes_on_where_it_was() {
        let (messages, searched) = (Thousand::default(), Searched::default());
        messages.away.store(501, Ordering::Relaxed);
        assert_eq!(messages.search(&searched).await, Err("time-out".to_owned()));
        messages.away.store(0, Ordering::Relaxed);

        assert_eq!(messages.search(&searched).await, Ok(()));

        let earliest = *messages.asked.lock().unwrap().iter().min().unwrap();
        assert!((400..=501).contains(&earliest), "{earliest} is read again");
        let killers: Vec<_> = (0..10).map(|nth| 100 * nth + 1).collect();
        assert_eq!(*messages.taken_out.lock().unwrap(), killers);
        assert!(searched.rest("monday", 0, 1000).is_empty());
    }

    #[tokio::test]
    async fn messages_of_other_groups_are_not_read() {
        let (messages, searched) = (Thousand::default(), Searched::default());
        messages.search(&searched).await.unwrap();
        let asked = messages.asked.lock().unwrap();
        assert!(asked.iter().all(|sequence| sequence % 2 == 1));
    }

    #[tokio::test]
    async fn search_through_nothing_leaves_the_process_ready() {
        let (messages, searched) = (Thousand::default(), Searched::default());
        searched.note("monday", 1000);
        messages.search(&searched).await.unwrap();
        assert!(messages.health.is_ready());
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
