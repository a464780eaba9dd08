use std::time::Duration;

use crate::event::Event;
use crate::headers::Headers;

mod jetstream;

pub(crate) use jetstream::store;
pub use jetstream::{JetStreamPublisher, Stored};
#[cfg(feature = "sql")]
pub(crate) use jetstream::{assert_scheduled, check_due};

/// Publishes events of every list.
///
/// `Ok` means: as durable as this publisher makes it. `JetStreamPublisher`: the server has stored
/// it. `Tx`: it is stored, and will be published, when the transaction commits.
pub trait Publisher: Send {
    /// What a publisher knows of a published event.
    type Receipt: Send;

    /// Publishes the event with headers of your own beside those of the runtime.
    ///
    /// # Errors
    ///
    /// [`PublishError`] says what is now true of the event.
    fn publish_with<E: Event>(
        &mut self,
        event: &E,
        headers: &Headers,
    ) -> impl Future<Output = Result<Self::Receipt, PublishError>> + Send;

    /// Publishes the event.
    ///
    /// # Errors
    ///
    /// [`PublishError`] says what is now true of the event.
    fn publish<E: Event>(
        &mut self,
        event: &E,
    ) -> impl Future<Output = Result<Self::Receipt, PublishError>> + Send {
        async { self.publish_with(event, &Headers::default()).await }
    }
}

/// Why an event was not published, or not known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The event has no JSON form. A bug in its type.
    #[error("event could not be encoded")]
    Encode(#[source] serde_json::Error),
    /// Payload and headers are larger than a message may be. Nothing was sent.
    #[error("event for `{subject}` has {size} bytes, and at most {limit} can be sent")]
    TooLarge {
        /// Where the event would have been sent.
        subject: String,
        /// Payload and headers, in bytes.
        size: usize,
        /// The most there may be, in bytes.
        limit: usize,
    },
    /// The due time is later than the stream keeps messages. Nothing was sent.
    #[error("event is due later than stream {stream} keeps messages ({max_age:?})")]
    DueTooLate {
        /// The stream that would hold the schedule.
        stream: String,
        /// How long the stream keeps messages.
        max_age: Duration,
    },
    /// No stream takes the subject, for as long as was waited. Nothing is stored.
    #[error("no stream takes `{subject}`; provision the streams")]
    NoStream {
        /// Where the event was sent.
        subject: String,
    },
    /// The stream is at its limit and refuses new events. Nothing is stored.
    #[error("stream of `{subject}` is full")]
    StreamFull {
        /// Where the event was sent.
        subject: String,
    },
    /// This user may not publish on the subject. Nothing is stored.
    #[error("not permitted to publish on `{subject}`")]
    Denied {
        /// Where the event was sent.
        subject: String,
    },
    /// The server refuses the event for good. Nothing is stored.
    #[error("server refuses `{subject}`: {description} (error {code})")]
    Refused {
        /// Where the event was sent.
        subject: String,
        /// The server's error code.
        code: u64,
        /// The server's words.
        description: String,
    },
    /// The server stayed silent, at least once, so the event may be stored. To publish the same event again under
    /// a fresh id may store it twice.
    #[error("no acknowledgement for `{subject}` within {waited:?}")]
    AckTimeout {
        /// Where the event was sent.
        subject: String,
        /// How long we waited.
        waited: Duration,
    },
    /// An event of the same aggregate was published before in this batch and failed. Nothing was sent.
    #[error("`{subject}` waits for an earlier event of its key that failed")]
    AfterFailure {
        /// Where the event would have been sent.
        subject: String,
    },
    /// The outbox holds an event of this version of the aggregate. Every change that is published
    /// raises the version by one.
    #[cfg(feature = "sql")]
    #[error(
        "version {version} for `{subject}` is in the outbox already: raise the version with each change"
    )]
    VersionTaken {
        /// Where the event would have been sent.
        subject: String,
        /// The version that two events claim.
        version: crate::Version,
    },
    /// The outbox could not take the event. It is not published unless the transaction still commits.
    #[cfg(feature = "sql")]
    #[error("event could not be written to the outbox")]
    Outbox(#[source] sqlx::Error),
}

impl PublishError {
    /// Whether publishing the same event again can succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Encode(_)
            | Self::TooLarge { .. }
            | Self::DueTooLate { .. }
            | Self::Denied { .. }
            | Self::Refused { .. } => false,
            Self::NoStream { .. }
            | Self::StreamFull { .. }
            | Self::AckTimeout { .. }
            | Self::AfterFailure { .. } => true,
            #[cfg(feature = "sql")]
            Self::VersionTaken { .. } => false,
            #[cfg(feature = "sql")]
            Self::Outbox(_) => true,
        }
    }
}
