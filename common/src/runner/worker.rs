use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Subject;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::attempts::{Attempts, Begun};
use super::outage::Outages;
use super::poison::Searched;
use super::received::Received;
use crate::client::{Client, RequestError};
use crate::dead_letter::DeadLetter;
use crate::dead_letters::Kind;
use crate::error::Chain;
use crate::event::{Carries, Event};
use crate::failure::FailureKind;
use crate::handle::{Verdict, handle};
use crate::headers::Headers;
use crate::health::Severity;
use crate::jitter::jitter;
use crate::listener::{Decision, Handled, Listener};
use crate::message::{DecodeError, Incoming};
use crate::metadata::Metadata;
use crate::name::{Key, QueueGroup, StreamName};
use crate::retry::RetryPolicy;

/// How long a message waits that is handed to another replica at shutdown. There is no undelayed nak.
const HAND_OVER: Duration = Duration::from_millis(100);
/// The shortest and the longest time after which a message comes again.
const SPACING: (Duration, Duration) = (Duration::from_millis(10), Duration::from_hours(7 * 24));
/// How often a message is handed back that this replica cannot read, for another may: for about an hour.
pub(super) const HAND_BACKS: u32 = 12;
/// How long a word to the server may wait for a place in the connection's queue.
pub(super) const SAY_WITHIN: Duration = Duration::from_secs(1);

/// Why a message is dead whose attempts all began, and of which the last has no end.
pub(super) const USED_UP: &str = "attempts are used up; the last one ended with its process, or before its dead letter was stored";

/// A listener whose event type is forgotten.
#[async_trait]
pub(super) trait Handler: Send + Sync {
    /// What its events tell of their aggregate.
    fn carries(&self) -> Carries;

    async fn handle(&self, incoming: &Incoming) -> Verdict;
}

pub(super) struct Erased<L>(pub(super) L);

#[async_trait]
impl<L: Listener> Handler for Erased<L> {
    fn carries(&self) -> Carries {
        <L::Event as Event>::CARRIES
    }

    async fn handle(&self, incoming: &Incoming) -> Verdict {
        handle(&self.0, incoming).await
    }
}

/// Handles the messages of one queue group on one stream: the only place that settles them.
pub(super) struct Worker {
    pub(super) client: Client,
    pub(super) group: QueueGroup,
    pub(super) stream: StreamName,
    pub(super) handlers: HashMap<&'static str, Arc<dyn Handler>>,
    pub(super) policy: RetryPolicy,
    pub(super) attempts: Attempts,
    pub(super) outages: Outages,
    pub(super) stop: CancellationToken,
    /// How long work may go on after `stop`.
    pub(super) drain: Duration,
    /// How long a delivered message is ours unless renewed, as was last seen.
    pub(super) lease: watch::Sender<Duration>,
    /// The streams of the group.
    pub(super) streams: Vec<StreamName>,
    /// How far it was looked for messages that kill connections.
    pub(super) searched: Searched,
    /// When held events that failed are tried again.
    #[cfg(feature = "sql")]
    pub(super) tries: super::held::Tries,
    /// A dead letter could not be stored, and until then it will have been tried again.
    pub(super) unburied: Mutex<Option<Instant>>,
}

/// How a message left this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It will not come again.
    Acked,
    /// It is stored as a dead letter and will not come again.
    Dead,
    /// It comes again, to this replica or another.
    Returned,
}

/// What a verdict means for the message.
#[derive(Debug)]
pub(super) enum Judgement {
    Handled(Handled),
    Again {
        after: Option<Duration>,
        reason: String,
    },
    Dead {
        kind: Kind,
        reason: String,
    },
    /// Another replica may know the form.
    Unknown {
        reason: String,
    },
}

impl Worker {
    /// Handles one message to its end, whatever that is.
    pub(super) async fn work(&self, received: Received) -> Outcome {
        let span = tracing::info_span!(
            "delivery",
            channel = received.channel,
            key = received.key,
            durable = %self.group,
            sequence = received.position.sequence,
            deliveries = received.deliveries,
        );
        self.settle(received).instrument(span).await
    }

    /// Rare paths are boxed: they would make the future of every delivery as large as their own.
    async fn settle(&self, mut received: Received) -> Outcome {
        let Some((&channel, handler)) = self.handlers.get_key_value(received.channel.as_str())
        else {
            let reason = format!("no listener for channel `{}`", received.channel);
            return Box::pin(self.unknown(&received, &received.headers, reason)).await;
        };
        let key = match Key::new(received.key.as_str()) {
            Ok(key) => key,
            Err(err) => {
                return Box::pin(self.bury(
                    &received,
                    &received.headers,
                    Kind::Undecodable,
                    err.to_string(),
                    1,
                ))
                .await;
            }
        };
        let begun = self
            .outages
            .until_available(|| counted(self.attempts.begin(&received)));
        let Some(begun) = begun.await else {
            return self.nak(&received, HAND_OVER).await;
        };
        let attempt = begun.number;
        let max_attempts = self.policy.max_attempts().get();
        if attempt > self.attempts.limit(max_attempts) {
            let reason = USED_UP.to_owned();
            return Box::pin(self.bury(
                &received,
                &received.headers,
                Kind::Exhausted,
                reason,
                max_attempts,
            ))
            .await;
        }
        let incoming = Incoming::read(
            channel,
            key,
            received.position.clone(),
            attempt,
            std::mem::take(&mut received.headers),
            received.payload.clone(),
        );
        let received = &received;
        let headers = incoming.metadata.headers();
        let Some(judgement) = self.judge(&**handler, &incoming).await else {
            self.undo(received, begun).await;
            return self.nak(received, HAND_OVER).await;
        };
        match judgement {
            Judgement::Handled(how) => {
                self.ack(&received.reply).await;
                if let Err(err) = self.attempts.forget(received).await {
                    tracing::debug!(error = %Chain(&err), "old attempts stay until they are cleaned");
                }
                self.after_ack(how, &incoming.metadata).await;
                Outcome::Acked
            }
            Judgement::Dead { kind, reason } => {
                Box::pin(self.bury(received, headers, kind, reason, attempt)).await
            }
            Judgement::Again { after, reason } => {
                Box::pin(self.failed(received, headers, begun, after, reason)).await
            }
            Judgement::Unknown { reason } => {
                self.undo(received, begun).await;
                Box::pin(self.unknown(received, headers, reason)).await
            }
        }
    }

    /// Calls the handler until nothing is unavailable. `None`: it was time to stop before that.
    pub(super) async fn judge(
        &self,
        handler: &dyn Handler,
        incoming: &Incoming,
    ) -> Option<Judgement> {
        self.outages
            .until_available(|| async { judgement(handler.handle(incoming).await) })
            .await
    }

    async fn after_ack(&self, handled: Handled, metadata: &Metadata) {
        match handled {
            #[cfg(feature = "sql")]
            Handled::Done { successor: true } => Box::pin(self.release(metadata.key())).await,
            Handled::Done { .. } => tracing::trace!(key = %metadata.key(), "handled"),
            Handled::Duplicate | Handled::AlreadyApplied | Handled::PassedOver | Handled::Held => {
                not_applied(handled, metadata);
            }
        }
    }

    /// The attempt failed: another one after a while, or the dead letters.
    async fn failed(
        &self,
        received: &Received,
        headers: &Headers,
        begun: Begun,
        after: Option<Duration>,
        reason: String,
    ) -> Outcome {
        let count = self
            .outages
            .until_available(|| counted(self.attempts.failed(received, begun)));
        let Some(attempt) = count.await else {
            return self.nak(received, HAND_OVER).await;
        };
        match self.policy.delay_after(attempt) {
            Some(delay) => {
                let delay = after.unwrap_or(delay);
                tracing::warn!(attempt, ?delay, %reason, "delivery failed");
                self.nak(received, spaced(delay)).await
            }
            None => Box::pin(self.bury(received, headers, Kind::Exhausted, reason, attempt)).await,
        }
    }

    /// Nobody here knows the channel or the form; a newer replica may.
    async fn unknown(&self, received: &Received, headers: &Headers, reason: String) -> Outcome {
        if let Some(delay) = hand_back_after(received.deliveries) {
            tracing::debug!(%reason, ?delay, "handed back");
            return self.nak(received, delay).await;
        }
        let attempts = received.deliveries;
        Box::pin(self.bury(received, headers, Kind::Unknown, reason, attempts)).await
    }

    /// Stores the message as a dead letter, and only then takes it from the group.
    async fn bury(
        &self,
        received: &Received,
        headers: &Headers,
        kind: Kind,
        reason: String,
        attempts: u32,
    ) -> Outcome {
        let letter = DeadLetter {
            group: self.group.as_str(),
            channel: &received.channel,
            key: &received.key,
            position: &received.position,
            headers,
            payload: &received.payload,
            kind,
            reason,
            attempts,
        };
        let delay = bury_again_after(received.deliveries);
        if !self.store(&letter, delay).await {
            return self.nak(received, delay).await;
        }
        self.confirm(&received.reply, format!("+TERM {}", kind.as_str()))
            .await;
        if let Err(err) = self.attempts.forget(received).await {
            tracing::debug!(error = %Chain(&err), "old attempts stay until they are cleaned");
        }
        Outcome::Dead
    }

    /// Whether the dead letter is stored. If not, it is tried again after `delay`, here or elsewhere.
    pub(super) async fn store(&self, letter: &DeadLetter<'_>, delay: Duration) -> bool {
        let DeadLetter {
            channel,
            key,
            kind,
            reason,
            attempts,
            ..
        } = letter;
        match letter.store(&self.client).await {
            Ok(()) => {
                tracing::error!(channel, key, kind = kind.as_str(), attempts, %reason, "dead letter");
                self.set_unburied(None);
                self.client.health().clear(&self.burials());
                true
            }
            Err(err) => {
                let message = format!("not stored, originals are kept: {}", Chain(&err));
                let health = self.client.health();
                self.set_unburied(Some(Instant::now() + delay * 2));
                health.report(&self.burials(), Severity::NotReady, message);
                false
            }
        }
    }

    fn set_unburied(&self, until: Option<Instant>) {
        *self.unburied.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// The part of the process's health that tells of dead letters.
    fn burials(&self) -> String {
        format!("dead letters of {}", self.group)
    }

    /// Forgets that a dead letter could not be stored, once the message must have come again, and
    /// another replica have stored it: this one would hear of it again.
    pub(super) fn forget_unburied(&self) {
        let mut unburied = self.unburied.lock().unwrap_or_else(PoisonError::into_inner);
        if unburied.is_some_and(|until| until < Instant::now()) {
            *unburied = None;
            self.client.health().clear(&self.burials());
        }
    }

    async fn undo(&self, received: &Received, begun: Begun) {
        if let Err(err) = self.attempts.undo(received, begun).await {
            tracing::warn!(error = %Chain(&err), "an attempt is counted that was none");
        }
    }

    /// Says that the message is handled. Not confirmed: a lost one is made good by the redelivery.
    pub(super) async fn ack(&self, reply: &Subject) {
        self.say(reply, Bytes::from_static(b"+ACK")).await;
    }

    /// Gives the message to another replica.
    pub(super) async fn hand_over(&self, received: &Received) {
        self.nak(received, HAND_OVER).await;
    }

    /// Gives the message back, to come again after `delay`.
    pub(super) async fn nak(&self, received: &Received, delay: Duration) -> Outcome {
        let words = format!("-NAK {{\"delay\":{}}}", delay.as_nanos());
        self.say(&received.reply, words.into()).await;
        Outcome::Returned
    }

    /// Goes by the lease that the consumer has, which operators may change at any time.
    pub(super) fn go_by(&self, lease: Duration) {
        self.lease.send_if_modified(|ours| {
            let differs = *ours != lease;
            *ours = lease;
            differs
        });
    }

    /// Renews the lease of a message. `false`: that did not get through.
    pub(super) async fn renew(&self, reply: &Subject) -> bool {
        self.say(reply, Bytes::from_static(b"+WPI")).await
    }

    /// Whether it is on its way. The queue is full while the server is away, and the message then comes again.
    async fn say(&self, reply: &Subject, words: Bytes) -> bool {
        let connection = self.client.connection();
        let said = timeout(SAY_WITHIN, connection.nats.publish(reply.clone(), words));
        match said.await {
            Ok(Ok(())) => true,
            Ok(Err(err)) => {
                tracing::debug!(error = %Chain(&err), "not said; the message comes again");
                // Boxed: a rare path must not make the future of every delivery as large as its own.
                let revived = timeout(SAY_WITHIN, Box::pin(self.client.revive(&connection)));
                if revived.await.is_err() {
                    tracing::debug!("connection is still being rebuilt");
                }
                false
            }
            Err(_) => {
                tracing::debug!("not said within {SAY_WITHIN:?}; the message comes again");
                false
            }
        }
    }

    /// Says it and awaits that the server has heard. `false`: that is not known. The client's own
    /// double ack takes a missing consumer for success.
    pub(super) async fn confirm(&self, reply: &Subject, words: String) -> bool {
        let words = Bytes::from(words);
        for _ in 0..3 {
            match self
                .client
                .request(reply.clone(), None, words.clone())
                .await
            {
                Ok(_) => return true,
                Err(RequestError::TimedOut | RequestError::Disconnected) => (),
                Err(
                    err @ (RequestError::NoResponders
                    | RequestError::Denied
                    | RequestError::TooLarge { .. }),
                ) => {
                    tracing::warn!(error = %err, "settlement was not taken; the message may come again");
                    return false;
                }
            }
        }
        tracing::warn!("settlement was not confirmed; the message may come again");
        false
    }
}

/// What a verdict means. `Err`: something is unavailable, and nobody is to blame.
fn judgement(verdict: Verdict) -> Result<Judgement, String> {
    let again = |reason: String| {
        Ok(Judgement::Again {
            after: None,
            reason,
        })
    };
    match verdict {
        Verdict::Decided(Decision::Ack(handled)) => Ok(Judgement::Handled(handled)),
        Verdict::Decided(Decision::RetryAfter(delay)) => Ok(Judgement::Again {
            after: Some(delay),
            reason: "the handler asked for another attempt".to_owned(),
        }),
        Verdict::Decided(Decision::Reject(reason)) => Ok(Judgement::Dead {
            kind: Kind::Rejected,
            reason: Chain(&*reason).to_string(),
        }),
        Verdict::Failed(failure) => {
            let reason = Chain(failure.source()).to_string();
            match failure.kind() {
                FailureKind::Retry => again(reason),
                FailureKind::Reject => Ok(Judgement::Dead {
                    kind: Kind::Rejected,
                    reason,
                }),
                FailureKind::Unavailable => Err(reason),
            }
        }
        Verdict::Panicked(message) => again(format!("handler panicked: {message}")),
        Verdict::TimedOut(deadline) => again(format!("handler was stopped after {deadline:?}")),
        Verdict::ForeignSettlement => {
            again("handler returned the settlement of another message".to_owned())
        }
        Verdict::Undecodable(err @ DecodeError::Newer { .. }) => Ok(Judgement::Unknown {
            reason: err.to_string(),
        }),
        Verdict::Undecodable(err) => Ok(Judgement::Dead {
            kind: Kind::Undecodable,
            reason: Chain(&err).to_string(),
        }),
    }
}

/// How long a failed message waits: a little more than `delay`, so that those which failed together do not return as one.
pub(super) fn spaced(delay: Duration) -> Duration {
    let (shortest, longest) = SPACING;
    let delay = delay.clamp(shortest, longest);
    delay + jitter(delay / 4)
}

/// How long to wait for a replica that knows more, 5 s at first and 10 min at last. `None`: there is none.
///
/// By the server's count, which survives this process.
fn hand_back_after(deliveries: u32) -> Option<Duration> {
    let doublings = deliveries.saturating_sub(1);
    (doublings < HAND_BACKS).then(|| {
        let delay = Duration::from_secs(5) * 2_u32.pow(doublings);
        delay.min(Duration::from_mins(10))
    })
}

/// How long to wait after a dead letter could not be stored: so that what the server delivers at
/// most ([`MAX_DELIVER`](crate::retry::MAX_DELIVER)) lasts for weeks.
fn bury_again_after(deliveries: u32) -> Duration {
    match deliveries {
        0..100 => Duration::from_secs(30),
        100..500 => Duration::from_mins(10),
        500.. => Duration::from_hours(1),
    }
}

/// Whatever keeps attempts from being counted is nothing that the event is to blame for.
pub(super) async fn counted<T, E: std::error::Error + 'static>(
    counting: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    counting.await.map_err(|err| Chain(&err).to_string())
}

/// Says why an event that is settled was not applied now.
pub(super) fn not_applied(handled: Handled, metadata: &Metadata) {
    if handled == Handled::PassedOver {
        tracing::warn!(
            id = metadata.id(),
            source = metadata.source(),
            channel = metadata.channel(),
            key = %metadata.key(),
            "event is passed over: its version was applied from another event, or a later state was taken as the base"
        );
    } else {
        tracing::debug!(id = metadata.id(), ?handled, "not applied");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::MAX_DELIVER;

    #[test]
    fn message_is_handed_back_for_an_hour_and_not_often() {
        let delays: Vec<_> = (1..).map_while(hand_back_after).collect();
        let hour = Duration::from_hours(1);
        let total: Duration = delays.iter().sum();
        assert!(total >= hour && total < hour + hour / 10, "{total:?}");
        assert_eq!(delays.len(), 12);
        assert_eq!(hand_back_after(u32::MAX), None);
    }

    #[test]
    fn dead_letter_is_tried_for_weeks_before_the_server_gives_up() {
        let total: Duration = (11..MAX_DELIVER).map(bury_again_after).sum();
        assert!(total > Duration::from_hours(3 * 7 * 24), "{total:?}");
    }

    #[test]
    fn delay_of_a_handler_is_never_none_and_never_too_long() {
        assert!(spaced(Duration::ZERO) >= Duration::from_millis(10));
        let longest = spaced(Duration::MAX);
        assert!(i64::try_from(longest.as_nanos()).is_ok(), "{longest:?}");
        let second = Duration::from_secs(1);
        assert!(spaced(second) >= second && spaced(second) < second * 2);
    }
}
