use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::cloud_events as ce;
use crate::error::Chain;
use crate::event::Event;
use crate::failure::{Failure, FailureKind};
use crate::handle::{Verdict, handle};
use crate::headers::Headers;
use crate::listener::{Decision, Handled, Listener};
use crate::message::{Incoming, Outgoing};
use crate::metadata::Position;
use crate::name::Key;
use crate::subject_set::Listed;

/// Hands the event to the listener as the runner does, without a broker: encoded, decoded, as the
/// cause of what is published meanwhile, until the listener's deadline, and with its panics caught.
///
/// Each call is an event of its own. To deliver one twice, keep an [`Envelope`].
///
/// # Panics
///
/// If no publisher would take the event: it has no JSON form, or is too large.
#[must_use = "the outcome is what a test is about"]
pub async fn deliver<L: Listener>(listener: &L, event: L::Event) -> Outcome {
    Envelope::of(&event).deliver_to(listener).await
}

/// What became of a message that a listener was given.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Handled. It will not come again.
    Acked,
    /// The same event was applied before. It will not come again.
    Duplicate,
    /// A later version of the aggregate was applied before. It will not come again.
    AlreadyApplied,
    /// Of a listener to every version: its version was applied from another event, or a later state was taken as the
    /// base. It was never applied, will not come again, and is logged as a warning.
    PassedOver,
    /// It came before its predecessor, and is stored until that has been applied.
    Held,
    /// The listener wants it again after `delay`. A failed attempt.
    RetriedAfter {
        /// How long to wait.
        delay: Duration,
    },
    /// It goes to the dead letters.
    Rejected {
        /// The listener's words, with their sources.
        reason: String,
    },
    /// The attempt failed, and the event comes again.
    Failed {
        /// Why, with its sources.
        reason: String,
    },
    /// Something that every event needs is away. No attempt is counted.
    Unavailable {
        /// What, with its sources.
        reason: String,
    },
    /// The listener panicked. A failed attempt.
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The listener ran longer than its deadline, and was stopped. A failed attempt.
    TimedOut {
        /// The deadline.
        after: Duration,
    },
    /// The listener returned what settles another message, a bug. A failed attempt.
    SettledAnother,
    /// The message is no event of the listener's type, which was not called.
    Undecodable {
        /// Why, with its sources.
        reason: String,
    },
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Decided(Decision::Ack(Handled::Done { .. })) => Self::Acked,
            Verdict::Decided(Decision::Ack(Handled::Duplicate)) => Self::Duplicate,
            Verdict::Decided(Decision::Ack(Handled::AlreadyApplied)) => Self::AlreadyApplied,
            Verdict::Decided(Decision::Ack(Handled::PassedOver)) => Self::PassedOver,
            Verdict::Decided(Decision::Ack(Handled::Held)) => Self::Held,
            Verdict::Decided(Decision::RetryAfter(delay)) => Self::RetriedAfter { delay },
            Verdict::Decided(Decision::Reject(reason)) => Self::Rejected {
                reason: Chain(&*reason).to_string(),
            },
            Verdict::Failed(failure) => failure.into(),
            Verdict::Panicked(message) => Self::Panicked { message },
            Verdict::TimedOut(after) => Self::TimedOut { after },
            Verdict::ForeignSettlement => Self::SettledAnother,
            Verdict::Undecodable(err) => Self::Undecodable {
                reason: Chain(&err).to_string(),
            },
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        let reason = Chain(failure.source()).to_string();
        match failure.kind() {
            FailureKind::Retry => Self::Failed { reason },
            FailureKind::Reject => Self::Rejected { reason },
            FailureKind::Unavailable => Self::Unavailable { reason },
        }
    }
}

/// One event as its stream holds it, to be delivered as often as a test likes: each time it is the
/// same event, with the same id at the same place.
///
/// ```
/// # use common::events::TicketCreated;
/// # use common::testing::{Envelope, Outcome, sample};
/// # use common::{Delivery, Failure, Listener, ORDERS_SERVICE, QueueGroup, Settled};
/// # struct Announce;
/// # impl Listener for Announce {
/// #     type Event = TicketCreated;
/// #     const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;
/// #     async fn on_message(&self, _: TicketCreated, delivery: Delivery<'_>) -> Result<Settled, Failure> {
/// #         assert_eq!(delivery.metadata().id(), "one");
/// #         Ok(delivery.ack())
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let envelope = Envelope::of(&sample::ticket_created()).id("one");
/// assert_eq!(envelope.deliver_to(&Announce).await, Outcome::Acked);
/// assert_eq!(envelope.attempt(2).deliver_to(&Announce).await, Outcome::Acked);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "an envelope does nothing until it is delivered"]
pub struct Envelope {
    stream: &'static str,
    channel: &'static str,
    key: Key,
    sequence: u64,
    stored_at: Timestamp,
    attempt: u32,
    headers: Headers,
    payload: Bytes,
}

impl Envelope {
    /// The event as a publisher sends it, at the next free place of its stream.
    ///
    /// # Panics
    ///
    /// If no publisher would take the event: it has no JSON form, or is too large.
    #[track_caller]
    pub fn of<E: Event>(event: &E) -> Self {
        let Outgoing {
            key,
            headers,
            payload,
            ..
        } = match Outgoing::encode(event, &Headers::new()) {
            Ok(outgoing) => outgoing,
            Err(err) => panic!("no publisher would take the event: {}", Chain(&err)),
        };
        Self {
            headers,
            ..Self::raw::<E>(key, payload)
        }
    }

    /// Any bytes on the channel of `E`, without headers: what a client may send that knows nothing of this crate.
    pub fn raw<E: Event>(key: Key, payload: impl Into<Bytes>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            stream: <E as Listed>::STREAM.as_str(),
            channel: <E as Listed>::CHANNEL,
            key,
            sequence: NEXT.fetch_add(1, Ordering::Relaxed),
            stored_at: Timestamp::now(),
            attempt: 1,
            headers: Headers::new(),
            payload: payload.into(),
        }
    }

    /// Gives the event this id.
    pub fn id(mut self, id: &str) -> Self {
        self.headers.set(ce::ID, ce::encode(id));
        self
    }

    /// Makes it the event of this source, such as `/tickets-service`. An id is unique per source only.
    pub fn source(mut self, source: &str) -> Self {
        self.headers.set(ce::SOURCE, ce::encode(source));
        self
    }

    /// Says that the payload has form number `version` of its event, the first being 1.
    pub fn schema_version(mut self, version: usize) -> Self {
        let name = ce::data_schema(self.channel, version);
        self.headers.set(ce::DATA_SCHEMA, name);
        self
    }

    /// Says which attempt at handling the event this is, the first being 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Puts other bytes in place of the payload.
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.payload = payload.into();
        self
    }

    /// Puts these headers in place of all others.
    pub fn headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// Hands the event to the listener as [`deliver`] does.
    #[must_use = "the outcome is what a test is about"]
    pub async fn deliver_to<L: Listener>(&self, listener: &L) -> Outcome {
        handle(listener, &self.incoming()).await.into()
    }

    pub(crate) fn incoming(&self) -> Incoming {
        let position = Position {
            stream: self.stream.to_owned(),
            sequence: self.sequence,
            stored_at: self.stored_at,
        };
        Incoming::read(
            self.channel,
            self.key.clone(),
            position,
            self.attempt,
            self.headers.clone(),
            self.payload.clone(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;
    use crate::events::TicketCreated;
    use crate::testing::sample;
    use crate::{Delivery, ORDERS_SERVICE, QueueGroup, Settled};

    /// Decides by what the ticket is called.
    struct ByTitle;

    impl Listener for ByTitle {
        type Event = TicketCreated;

        const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

        async fn on_message(
            &self,
            ticket: TicketCreated,
            delivery: Delivery<'_>,
        ) -> Result<Settled, Failure> {
            match ticket.title.as_str() {
                "later" => Ok(delivery.retry_after(Duration::from_secs(7))),
                "never" => Ok(delivery.reject("never")),
                "fails" => Err(std::io::Error::other("broken").into()),
                "rejects" => Err(Failure::reject("no")),
                "away" => Err(Failure::unavailable("gone")),
                "panics" => panic!("ouch"),
                "tells" => {
                    let told = told(delivery.metadata());
                    Ok(delivery.reject(told))
                }
                _ => Ok(delivery.ack()),
            }
        }
    }

    fn told(metadata: &Metadata) -> String {
        let (id, source, attempt) = (metadata.id(), metadata.source(), metadata.attempt());
        format!("{id} {source} {attempt}")
    }

    fn titled(title: &str) -> TicketCreated {
        TicketCreated {
            title: sample::title(title),
            ..sample::ticket_created()
        }
    }

    #[tokio::test]
    async fn outcome_is_what_the_listener_said() {
        let text = str::to_owned;
        let delay = Duration::from_secs(7);
        for (title, outcome) in [
            ("anything", Outcome::Acked),
            ("later", Outcome::RetriedAfter { delay }),
            (
                "never",
                Outcome::Rejected {
                    reason: text("never"),
                },
            ),
            (
                "fails",
                Outcome::Failed {
                    reason: text("broken"),
                },
            ),
            ("rejects", Outcome::Rejected { reason: text("no") }),
            (
                "away",
                Outcome::Unavailable {
                    reason: text("gone"),
                },
            ),
            (
                "panics",
                Outcome::Panicked {
                    message: text("ouch"),
                },
            ),
        ] {
            assert_eq!(deliver(&ByTitle, titled(title)).await, outcome, "{title}");
        }
    }

    #[tokio::test]
    async fn one_envelope_is_one_event_however_often_it_is_delivered() {
        let envelope = Envelope::of(&titled("tells"));

        let first = envelope.deliver_to(&ByTitle).await;
        let second = envelope.deliver_to(&ByTitle).await;
        let other = Envelope::of(&titled("tells")).deliver_to(&ByTitle).await;

        assert_eq!(first, second);
        assert_ne!(first, other);
    }

    #[tokio::test]
    async fn envelope_says_what_it_is_told_to() {
        let envelope = Envelope::of(&titled("tells"))
            .id("a b")
            .source("/elsewhere")
            .attempt(3);

        let outcome = envelope.deliver_to(&ByTitle).await;

        let reason = "a b /elsewhere 3".to_owned();
        assert_eq!(outcome, Outcome::Rejected { reason });
    }

    #[tokio::test]
    async fn bytes_that_are_no_event_are_undecodable() {
        let ticket = sample::ticket_created();
        let other = sample::ticket_created();
        let bare = |payload: Vec<u8>| Envelope::raw::<TicketCreated>(ticket.key(), payload);
        for envelope in [
            bare(Vec::new()),
            bare(b"{".to_vec()),
            bare(serde_json::to_vec(&sample::order_created()).unwrap()),
            bare(serde_json::to_vec(&other).unwrap()),
            Envelope::of(&ticket).schema_version(2),
            Envelope::of(&sample::ticket_updated()).payload(serde_json::to_vec(&ticket).unwrap()),
        ] {
            let outcome = envelope.deliver_to(&ByTitle).await;
            assert!(
                matches!(outcome, Outcome::Undecodable { .. }),
                "{envelope:?}: {outcome:?}"
            );
        }
    }

    #[tokio::test]
    async fn bare_json_without_headers_is_an_event() {
        let ticket = titled("anything");
        let payload = serde_json::to_vec(&ticket).unwrap();

        let envelope = Envelope::raw::<TicketCreated>(ticket.key(), payload);

        assert_eq!(envelope.deliver_to(&ByTitle).await, Outcome::Acked);
    }
}
