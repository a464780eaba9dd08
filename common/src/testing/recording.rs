use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::event::Event;
use crate::headers::Headers;
use crate::message::Outgoing;
use crate::publisher::{PublishError, Publisher, Stored};
use crate::subject_set::Listed;

/// Keeps what is published, for a test to look at. Cheap to clone; clones share what is kept.
///
/// It encodes as every publisher does, and refuses what every publisher refuses.
#[derive(Debug, Clone, Default)]
pub struct RecordingPublisher {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    messages: Vec<Published>,
    failures: VecDeque<PublishError>,
}

impl RecordingPublisher {
    /// A publisher that has published nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The events of type `E` that were published, oldest first.
    ///
    /// # Panics
    ///
    /// If one cannot be read back: what the type writes is not what it reads.
    #[must_use]
    #[track_caller]
    pub fn published<E: Event>(&self) -> Vec<E> {
        let messages = self.messages();
        messages.iter().filter_map(Published::event).collect()
    }

    /// Everything that was published, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Published> {
        self.lock().messages.clone()
    }

    /// Lets one publish fail with `error`, and keep nothing: the next, or, told several times, the
    /// next ones in this order.
    pub fn fail_next(&self, error: PublishError) {
        self.lock().failures.push_back(error);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher for RecordingPublisher {
    type Receipt = Stored;

    async fn publish_with<E: Event>(
        &mut self,
        event: &E,
        headers: &Headers,
    ) -> Result<Stored, PublishError> {
        let outgoing = Outgoing::encode(event, headers)?;
        let mut shared = self.lock();
        if let Some(error) = shared.failures.pop_front() {
            return Err(error);
        }
        shared.messages.push(outgoing.into());
        Ok(Stored {
            sequence: shared.messages.len() as u64,
            duplicate: false,
        })
    }
}

/// A published event as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    subject: String,
    headers: BTreeMap<String, Vec<String>>,
    payload: Bytes,
}

impl Published {
    /// A message that was read back from wherever a publisher stores it.
    #[must_use]
    pub fn new(
        subject: impl Into<String>,
        headers: impl IntoIterator<Item = (String, String)>,
        payload: impl Into<Bytes>,
    ) -> Self {
        let mut values: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, value) in headers {
            values.entry(name).or_default().push(value);
        }
        Self {
            subject: subject.into(),
            headers: values,
            payload: payload.into(),
        }
    }

    /// The NATS subject: `ticket:created.0198…`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The first value of the header, as it stands on the wire. Names are case-sensitive.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.first().map(String::as_str)
    }

    /// Every header with its values.
    #[must_use]
    pub fn headers(&self) -> &BTreeMap<String, Vec<String>> {
        &self.headers
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The event, if it is one of the channel of `E`.
    ///
    /// # Panics
    ///
    /// If it is one of that channel and cannot be read as an `E`.
    #[must_use]
    #[track_caller]
    pub fn event<E: Event>(&self) -> Option<E> {
        let (channel, _) = self.subject.split_once('.')?;
        if channel != <E as Listed>::CHANNEL {
            return None;
        }
        match serde_json::from_slice(&self.payload) {
            Ok(event) => Some(event),
            Err(err) => panic!("payload on `{}` cannot be read back: {err}", self.subject),
        }
    }
}

impl From<Outgoing> for Published {
    fn from(outgoing: Outgoing) -> Self {
        let headers = outgoing.headers.iter();
        Self::new(
            outgoing.subject(),
            headers.map(|(name, value)| (name.to_owned(), value.to_owned())),
            outgoing.payload,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::events::{OrderCreated, TicketCreated};
    use crate::testing::{conformance, sample};

    #[derive(Default)]
    struct Recording {
        publisher: RecordingPublisher,
        seen: AtomicUsize,
    }

    impl conformance::Harness for Recording {
        type Publisher<'h> = RecordingPublisher;

        async fn open(&self) -> RecordingPublisher {
            self.publisher.clone()
        }

        async fn close(&self, _: RecordingPublisher) {}

        async fn stored(&self) -> Vec<Published> {
            let messages = self.publisher.messages();
            let seen = self.seen.swap(messages.len(), Ordering::Relaxed);
            messages[seen..].to_vec()
        }
    }

    #[tokio::test]
    async fn recording_publisher_conforms() {
        conformance::check(&Recording::default()).await;
    }

    #[tokio::test]
    async fn events_are_read_back_by_type() {
        let mut publisher = RecordingPublisher::new();
        let (ticket, order) = (sample::ticket_created(), sample::order_created());

        publisher.publish(&ticket).await.unwrap();
        let receipt = publisher.publish(&order).await.unwrap();

        assert_eq!(receipt.sequence, 2);
        assert_eq!(publisher.published::<TicketCreated>(), [ticket]);
        assert_eq!(publisher.published::<OrderCreated>(), [order]);
    }

    #[tokio::test]
    async fn publish_that_is_told_to_fail_keeps_nothing() {
        let mut publisher = RecordingPublisher::new();
        let ticket = sample::ticket_created();
        let subject = "ticket:created.x".to_owned();
        publisher.fail_next(PublishError::StreamFull { subject });

        let failed = publisher.publish(&ticket).await;

        assert!(matches!(failed, Err(PublishError::StreamFull { .. })));
        assert_eq!(publisher.messages(), []);
        assert!(publisher.publish(&ticket).await.is_ok());
    }
}
