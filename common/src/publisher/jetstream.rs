use std::collections::HashMap;
use std::time::Duration;

use async_nats::HeaderName;
use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;

use super::{PublishError, Publisher};
use crate::client::{Client, DUPLICATE_IN_PROCESS, RequestError, ServerError};
use crate::event::Event;
use crate::headers::Headers;
use crate::jitter::jitter;
use crate::message::Outgoing;
use crate::name::{Key, Schedules};
use crate::subject_set::Listed;
use crate::topology::{MAX_AGE, StreamInfo};

/// How long an event is tried for: longer than the election of a stream's leader takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nobody may take a subject before the stream is looked for.
const ELECTION: Duration = Duration::from_secs(2);
/// How many events of a batch are on their way at once.
const WINDOW: usize = 512;

const SCHEDULE: HeaderName = HeaderName::from_static("Nats-Schedule");
const SCHEDULE_TARGET: HeaderName = HeaderName::from_static("Nats-Schedule-Target");

/// Publishes to JetStream, and returns when the server has stored the event. Cheap to clone.
///
/// What can be retried (no leader, no answer, a lost connection) is, for up to 30 s, under the same
/// `Nats-Msg-Id`. The server remembers those for two minutes, so that one call stores an event once. Another
/// call with the same event is another event.
#[derive(Debug, Clone)]
pub struct JetStreamPublisher {
    client: Client,
}

type Encoded = Result<Outgoing, PublishError>;

/// Where the server stored an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stored {
    /// The event's place in its stream, the first being 1.
    pub sequence: u64,
    /// Whether the server had it already, by its `Nats-Msg-Id`, which it remembers for two minutes.
    pub duplicate: bool,
}

impl JetStreamPublisher {
    /// A publisher over this connection.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
        }
    }

    /// Publishes the event, and returns when the server has stored it.
    ///
    /// # Errors
    ///
    /// [`PublishError`] says what is now true of the event.
    pub async fn publish<E: Event>(&self, event: &E) -> Result<Stored, PublishError> {
        self.publish_with(event, &Headers::new()).await
    }

    /// As [`publish`](Self::publish), with headers of your own.
    ///
    /// # Errors
    ///
    /// [`PublishError`] says what is now true of the event.
    pub async fn publish_with<E: Event>(
        &self,
        event: &E,
        headers: &Headers,
    ) -> Result<Stored, PublishError> {
        self.send(&Outgoing::encode(event, headers)?, None).await
    }

    /// Publishes many events, up to 512 at once, those of one key one after the other.
    ///
    /// The results are in the order of the events. After a failure, later events of the same key
    /// are not sent: [`PublishError::AfterFailure`].
    pub async fn publish_all<'e, E: Event>(
        &self,
        events: impl IntoIterator<Item = &'e E>,
    ) -> Vec<Result<Stored, PublishError>> {
        let mut chains: HashMap<Key, Vec<(usize, Encoded)>> = HashMap::new();
        let mut results: Vec<Option<Result<Stored, PublishError>>> = Vec::new();
        for (at, event) in events.into_iter().enumerate() {
            let encoded = Outgoing::encode(event, &Headers::new());
            chains.entry(event.key()).or_default().push((at, encoded));
            results.push(None);
        }
        let mut sent = stream::iter(chains.into_values().map(|chain| self.send_chain(chain)))
            .buffer_unordered(WINDOW);
        while let Some(chain) = sent.next().await {
            for (at, result) in chain {
                results[at] = Some(result);
            }
        }
        results.into_iter().flatten().collect()
    }

    /// Sends events of one key, in order, up to the first that fails.
    async fn send_chain(
        &self,
        chain: Vec<(usize, Encoded)>,
    ) -> Vec<(usize, Result<Stored, PublishError>)> {
        let mut results = Vec::with_capacity(chain.len());
        let mut failed = false;
        for (at, encoded) in chain {
            let result = match encoded {
                Ok(outgoing) if failed => Err(PublishError::AfterFailure {
                    subject: outgoing.subject(),
                }),
                Ok(outgoing) => self.send(&outgoing, None).await,
                Err(err) => Err(err),
            };
            failed |= result.is_err();
            results.push((at, result));
        }
        results
    }

    /// Publishes the event for the moment `due`: the server delivers it then, within about a second.
    ///
    /// Only for events whose stream is [`scheduled`](crate::StreamName::scheduled); any other does not
    /// compile. There is one schedule per channel and key: a later one replaces it. A schedule is the
    /// fast path, never the truth: whoever relies on one also finds the overdue rows itself. A moment
    /// that has passed is now.
    ///
    /// # Errors
    ///
    /// [`PublishError::DueTooLate`] if the stream does not keep messages until then (30 days), and
    /// else as [`publish`](Self::publish).
    pub async fn publish_at<E: Event>(
        &self,
        event: &E,
        due: Timestamp,
    ) -> Result<Stored, PublishError> {
        const { assert_scheduled::<E>() };
        self.send(&Outgoing::encode(event, &Headers::new())?, Some(due))
            .await
    }

    /// Sends one encoded event, now or for the moment `due`, and awaits the acknowledgement.
    pub(crate) async fn send(
        &self,
        outgoing: &Outgoing,
        due: Option<Timestamp>,
    ) -> Result<Stored, PublishError> {
        let stream = Some(&*outgoing.stream);
        let payload = &outgoing.payload;
        let subject = outgoing.subject();
        let now = Timestamp::now();
        let Some(due) = due.filter(|due| *due > now) else {
            return store(&self.client, stream, subject, &outgoing.headers, payload).await;
        };
        check_due(outgoing, due, now)?;
        let mut headers = outgoing.headers.clone();
        headers.set(SCHEDULE, format!("@at {}", whole_second_after(due)));
        headers.set(SCHEDULE_TARGET, subject);
        let subject = format!("schedule.{}.{}", outgoing.channel, outgoing.key);
        store(&self.client, stream, subject, &headers, payload).await
    }
}

/// Refuses a due time that is later than the stream keeps messages.
pub(crate) fn check_due(
    outgoing: &Outgoing,
    due: Timestamp,
    now: Timestamp,
) -> Result<(), PublishError> {
    if due > now && due.duration_since(now).unsigned_abs() > MAX_AGE {
        return Err(PublishError::DueTooLate {
            stream: outgoing.stream.to_string(),
            max_age: MAX_AGE,
        });
    }
    Ok(())
}

/// Schedules have a resolution of a second; rounded up, so that nothing is delivered before it is due.
fn whole_second_after(due: Timestamp) -> Timestamp {
    let seconds = due.as_second() + i64::from(due.subsec_nanosecond() > 0);
    Timestamp::from_second(seconds).unwrap_or(due)
}

/// Fails to compile, where it is used in a constant, for an event whose stream takes no schedules.
#[track_caller]
pub(crate) const fn assert_scheduled<E: Event>() {
    assert!(
        matches!(<E as Listed>::STREAM.schedules(), Schedules::Accepted),
        "the event's stream takes no schedules: declare it with `StreamName::scheduled`"
    );
}

impl Publisher for &JetStreamPublisher {
    type Receipt = Stored;

    async fn publish_with<E: Event>(
        &mut self,
        event: &E,
        headers: &Headers,
    ) -> Result<Stored, PublishError> {
        JetStreamPublisher::publish_with(self, event, headers).await
    }
}

impl Publisher for JetStreamPublisher {
    type Receipt = Stored;

    async fn publish_with<E: Event>(
        &mut self,
        event: &E,
        headers: &Headers,
    ) -> Result<Stored, PublishError> {
        JetStreamPublisher::publish_with(self, event, headers).await
    }
}

/// Stores one message on a stream: tries, under the same headers, until the server has answered,
/// for up to [`PATIENCE`].
pub(crate) async fn store(
    client: &Client,
    stream: Option<&str>,
    subject: String,
    headers: &Headers,
    payload: &bytes::Bytes,
) -> Result<Stored, PublishError> {
    let started = Instant::now();
    let mut attempt = 0_u32;
    let mut looked_for = false;
    let mut earlier = Earlier::NotStored;
    loop {
        let answer = client
            .request(
                subject.as_str(),
                Some(headers.clone().into_nats()),
                payload.clone(),
            )
            .await;
        let outcome = match answer {
            Ok(message) => match read_ack(&message.payload) {
                Ok(stored) => return Ok(stored),
                Err(error) => refusal(&subject, error),
            },
            Err(RequestError::Denied) => Err(PublishError::Denied {
                subject: subject.clone(),
            }),
            Err(RequestError::TooLarge { limit }) => Err(PublishError::TooLarge {
                subject: subject.clone(),
                size: headers.wire_len() + payload.len(),
                limit,
            }),
            Err(RequestError::TimedOut | RequestError::Disconnected) => {
                earlier = Earlier::MayBeStored;
                Ok(Trouble::Silence)
            }
            Err(RequestError::NoResponders) => Ok(Trouble::NoStream),
        };
        let waited = started.elapsed();
        let trouble = match outcome {
            Ok(trouble) => trouble,
            Err(refused) => return Err(earlier.and_now(refused, subject, waited)),
        };
        let may_be_missing = matches!(trouble, Trouble::NoStream) && waited >= ELECTION;
        if may_be_missing && !looked_for && earlier == Earlier::NotStored {
            looked_for = true;
            // No leader and no stream look alike; the server knows which it is.
            if let Some(stream) = stream
                && matches!(Box::pin(StreamInfo::read(client, stream)).await, Ok(None))
            {
                return Err(PublishError::NoStream { subject });
            }
        }
        if waited >= PATIENCE {
            return Err(match trouble {
                Trouble::NoStream => {
                    let no_stream = PublishError::NoStream {
                        subject: subject.clone(),
                    };
                    earlier.and_now(no_stream, subject, waited)
                }
                Trouble::Silence => PublishError::AckTimeout { subject, waited },
            });
        }
        attempt += 1;
        tracing::debug!(%subject, attempt, ?trouble, "publishing again");
        let delay = Duration::from_millis(50) * 2_u32.pow(attempt.min(5));
        tokio::time::sleep(delay + jitter(delay)).await; // back-off between attempts
    }
}

/// What the tries before the present one may have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Earlier {
    NotStored,
    /// One of them was not answered.
    MayBeStored,
}

impl Earlier {
    /// What is true of the event once it is refused: once the server may have it, no later refusal
    /// says that it has not.
    fn and_now(self, refused: PublishError, subject: String, waited: Duration) -> PublishError {
        match self {
            Self::NotStored => refused,
            Self::MayBeStored => {
                tracing::debug!(%subject, error = %refused, "refused after a try without an answer");
                PublishError::AckTimeout { subject, waited }
            }
        }
    }
}

/// What keeps an event from being stored for now.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    NoStream,
    Silence,
}

fn read_ack(payload: &[u8]) -> Result<Stored, ServerError> {
    #[derive(Deserialize)]
    struct Ack {
        error: Option<ServerError>,
        #[serde(default)]
        seq: u64,
        #[serde(default)]
        duplicate: bool,
    }
    let unreadable = || ServerError {
        code: 503,
        err_code: 0,
        description: "the answer is no acknowledgement".to_owned(),
    };
    let ack: Ack = serde_json::from_slice(payload).map_err(|_| unreadable())?;
    match ack.error {
        Some(error) => Err(error),
        None if ack.seq == 0 => Err(unreadable()),
        None => Ok(Stored {
            sequence: ack.seq,
            duplicate: ack.duplicate,
        }),
    }
}

/// Tells what passes from what does not.
fn refusal(subject: &str, error: ServerError) -> Result<Trouble, PublishError> {
    /// Resources are short, for now or for good.
    const INSUFFICIENT_RESOURCES: u64 = 10023;
    const STREAM_STORE_FAILED: u64 = 10077;
    const STORAGE_EXCEEDED: u64 = 10047;
    const MESSAGE_TOO_LARGE: u64 = 10054;
    const INBOX_FULL: u64 = 10167;
    let subject = subject.to_owned();
    match error.err_code {
        STREAM_STORE_FAILED if error.description.contains("maximum") => {
            Err(PublishError::StreamFull { subject })
        }
        STORAGE_EXCEEDED => Err(PublishError::StreamFull { subject }),
        INBOX_FULL | INSUFFICIENT_RESOURCES | DUPLICATE_IN_PROCESS => Ok(Trouble::Silence),
        MESSAGE_TOO_LARGE => Err(PublishError::Refused {
            subject,
            code: error.err_code,
            description: error.description,
        }),
        _ if error.code == 503 => Ok(Trouble::Silence),
        code => Err(PublishError::Refused {
            subject,
            code,
            description: error.description,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_time_is_never_early() {
        let due: Timestamp = "2026-01-01T00:00:00.000000001Z".parse().unwrap();
        assert_eq!(whole_second_after(due).to_string(), "2026-01-01T00:00:01Z");
        let whole: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(whole_second_after(whole), whole);
    }

    #[track_caller]
    fn check(answer: &str, expected: &str) {
        let shown = match read_ack(answer.as_bytes()) {
            Ok(stored) => format!("{stored:?}"),
            Err(error) => match refusal("a.b", error) {
                Ok(trouble) => format!("again: {trouble:?}"),
                Err(err) => format!("failed: {err}"),
            },
        };
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn refusal_after_a_try_without_an_answer_does_not_say_that_nothing_is_stored() {
        let subject = || "a.b".to_owned();
        let waited = Duration::from_secs(5);
        let refusals: [fn(String) -> PublishError; 5] = [
            |subject| PublishError::Denied { subject },
            |subject| PublishError::StreamFull { subject },
            |subject| PublishError::NoStream { subject },
            |subject| PublishError::TooLarge {
                subject,
                size: 2,
                limit: 1,
            },
            |subject| PublishError::Refused {
                subject,
                code: 10_060,
                description: "wrong stream".to_owned(),
            },
        ];
        for refused in refusals {
            let first = Earlier::NotStored.and_now(refused(subject()), subject(), waited);
            assert_eq!(first.to_string(), refused(subject()).to_string());
            let later = Earlier::MayBeStored.and_now(refused(subject()), subject(), waited);
            assert!(
                matches!(&later, PublishError::AckTimeout { waited: so_long, .. } if *so_long == waited),
                "{later:?}"
            );
        }
    }

    #[test]
    fn answers_are_told_apart() {
        check(r#"{"stream":"S","seq":7}"#, "sequence: 7, duplicate: false");
        check(
            r#"{"stream":"S","seq":7,"duplicate":true}"#,
            "duplicate: true",
        );
        check(
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"seq":0}"#,
            "failed: stream of `a.b` is full",
        );
        check(
            r#"{"error":{"code":503,"err_code":10008,"description":"temporarily unavailable"}}"#,
            "again: Silence",
        );
        check(
            r#"{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"}}"#,
            "again: Silence",
        );
        check(
            r#"{"error":{"code":400,"err_code":10060,"description":"wrong stream"}}"#,
            "failed: server refuses `a.b`: wrong stream (error 10060)",
        );
        check("", "again: Silence");
    }
}
