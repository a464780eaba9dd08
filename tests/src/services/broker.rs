use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_nats::{HeaderMap, datetime};
use bytes::Bytes;
use common::{
    Client, Event, JetStreamPublisher, QueueGroup, StreamName, SubjectSet as _, Subjects,
};
use futures::TryStreamExt as _;

use super::until;
use crate::nats::read;

const DEAD_LETTERS: &str = "DEAD_LETTERS";
const MSG_ID: &str = "Nats-Msg-Id";

/// What a test does on the streams: it looks at them, holds messages up, takes them off and puts them back.
///
/// Nothing of it goes through the library, save [`publish`](Self::publish).
#[derive(Debug, Clone)]
pub struct Broker {
    client: Client,
    jetstream: jetstream::Context,
}

/// A message as it lies in its stream.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Where in the stream.
    pub sequence: u64,
    /// `<channel>.<key>`.
    pub subject: String,
    /// As they came.
    pub headers: HeaderMap,
    /// As it came.
    pub payload: Bytes,
}

/// How like the original a message is that is published again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// The same event for every reader, as of a publisher that did not hear the server's answer.
    Same,
    /// The payload alone, as of somebody who tells of it once more.
    Bare,
}

/// A message that a queue group gave up.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Why, in a word: `rejected`, `undecodable`, ...
    pub kind: String,
    /// Why, in a sentence.
    pub reason: String,
    /// How often it was tried.
    pub attempts: String,
    /// Its stream, and where in it.
    pub origin: (String, String),
    /// Where the payload is, if not here.
    pub body: Option<String>,
    /// The payload of the message.
    pub payload: Bytes,
}

impl StoredMessage {
    /// One of its headers.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.as_str())
    }
}

impl Broker {
    pub(super) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            jetstream: jetstream::new(client.nats()),
        }
    }

    /// Publishes an event as whatever service the list says.
    ///
    /// # Panics
    ///
    /// If the server does not take it.
    pub async fn publish<E: Event>(&self, event: &E) {
        let publisher = JetStreamPublisher::new(&self.client);
        publisher.publish(event).await.unwrap();
    }

    /// Publishes bytes under the name of an event or of none, and yields their place in the stream.
    ///
    /// # Panics
    ///
    /// If the server does not take them.
    pub async fn publish_bytes(
        &self,
        subject: &str,
        ce_type: Option<Subjects>,
        payload: impl Into<Bytes>,
    ) -> u64 {
        let (subject, payload) = (subject.to_owned(), payload.into());
        let stored = match ce_type {
            None => self.jetstream.publish(subject, payload).await,
            Some(ce_type) => {
                let mut headers = HeaderMap::new();
                headers.insert("ce-type", ce_type.as_str());
                self.jetstream
                    .publish_with_headers(subject, headers, payload)
                    .await
            }
        };
        stored.unwrap().await.unwrap().sequence
    }

    /// Delivers nothing of the stream to the group until [`resume`](Self::resume).
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn pause(&self, stream: StreamName, group: QueueGroup) {
        self.pause_for(stream, group, Duration::from_mins(5)).await;
    }

    /// Delivers to the group again.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn resume(&self, stream: StreamName, group: QueueGroup) {
        // A pause that is over by itself wakes the waiting requests; one that is lifted leaves them to the next
        // heartbeat (nats-server 2.15, `updatePauseState`).
        self.pause_for(stream, group, Duration::from_millis(100))
            .await;
    }

    async fn pause_for(&self, stream: StreamName, group: QueueGroup, time: Duration) {
        let until = datetime::add_std_duration(datetime::now(), time).unwrap();
        let stream = self.stream(stream.as_str()).await;
        let paused = stream.pause_consumer(group.as_str(), until).await.unwrap();
        assert_eq!(paused.pause_until, until);
    }

    /// The events of a channel about one key (`*`: about any), oldest first.
    ///
    /// # Panics
    ///
    /// If the server does not show them.
    pub async fn events(&self, channel: Subjects, key: impl Display) -> Vec<StoredMessage> {
        self.messages(channel.stream(), format!("{channel}.{key}"))
            .await
    }

    /// Waits for the latest event of a channel about a key, and takes it off its stream: nobody is delivered it.
    ///
    /// # Panics
    ///
    /// If it does not come.
    pub async fn take(&self, channel: Subjects, key: impl Display) -> StoredMessage {
        self.take_off(channel.stream(), format!("{channel}.{key}"))
            .await
    }

    /// Waits for the schedule of an event, and takes it off its stream: it will not fire.
    ///
    /// # Panics
    ///
    /// If it does not come.
    pub async fn lose_schedule(&self, channel: Subjects, key: impl Display) -> StoredMessage {
        self.take_off(channel.stream(), format!("schedule.{channel}.{key}"))
            .await
    }

    async fn take_off(&self, stream: StreamName, subject: String) -> StoredMessage {
        let message = until(&format!("`{subject}` is published"), async || {
            self.messages(stream, subject.clone())
                .await
                .pop()
                .ok_or("nothing")
        })
        .await;
        let stream = self.stream(stream.as_str()).await;
        assert!(stream.delete_message(message.sequence).await.unwrap());
        message
    }

    async fn messages(&self, stream: StreamName, subject: String) -> Vec<StoredMessage> {
        read(&self.jetstream, stream.as_str(), &subject)
            .await
            .into_iter()
            .map(|message| StoredMessage {
                sequence: message.info().unwrap().stream_sequence,
                subject: message.subject.to_string(),
                headers: message.headers.clone().unwrap_or_default(),
                payload: message.payload.clone(),
            })
            .collect()
    }

    /// Publishes a message again. The server takes it for another message.
    ///
    /// # Panics
    ///
    /// If the server does not take it.
    pub async fn put(&self, message: &StoredMessage, copy: Copy) {
        let mut headers = HeaderMap::new();
        match copy {
            Copy::Same => {
                // What commands the server has been done.
                let kept = message
                    .headers
                    .iter()
                    .filter(|(name, _)| !AsRef::<str>::as_ref(name).starts_with("Nats-"));
                for (name, values) in kept {
                    for value in values {
                        headers.append(name.clone(), value.clone());
                    }
                }
                let id = message.header(MSG_ID).unwrap_or_default();
                headers.insert(MSG_ID, format!("{id} from {}", message.sequence));
            }
            Copy::Bare => (),
        }
        let subject = message.subject.clone();
        let stored = self
            .jetstream
            .publish_with_headers(subject, headers, message.payload.clone())
            .await;
        let stored = stored.unwrap().await.unwrap();
        assert!(!stored.duplicate, "{message:?} was taken for the original");
    }

    /// Waits until the group has settled all that is in the stream.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn caught_up(&self, stream: StreamName, group: QueueGroup) {
        until(
            &format!("{group} has caught up with {stream}"),
            async || match self.backlog().await {
                backlog
                    if backlog
                        .iter()
                        .any(|(of, _)| *of == format!("{group} on {stream}")) =>
                {
                    Err(backlog)
                }
                _ => Ok(()),
            },
        )
        .await;
    }

    /// What the consumers of the list have before them: who, and how many messages.
    ///
    /// # Panics
    ///
    /// If the server does not tell.
    pub async fn backlog(&self) -> Vec<(String, u64)> {
        let mut backlog = Vec::new();
        let streams: BTreeSet<_> = Subjects::ALL
            .iter()
            .map(|subject| subject.stream().as_str())
            .collect();
        for name in streams {
            let stream = self.stream(name).await;
            let mut consumers = stream.consumers();
            while let Some(info) = consumers.try_next().await.unwrap() {
                let Some(group) = info.config.durable_name else {
                    continue;
                };
                let open = info.num_pending + info.num_ack_pending as u64;
                if open > 0 {
                    backlog.push((format!("{group} on {name}"), open));
                }
            }
        }
        backlog
    }

    /// Waits for the dead letter of a group.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn dead_letter(&self, group: QueueGroup, message: &str) -> DeadLetter {
        let subject = format!("dead-letter.{group}.{message}");
        let stream = self.stream(DEAD_LETTERS).await;
        let letter = until(&format!("there is `{subject}`"), async || {
            match stream.get_last_raw_message_by_subject(&subject).await {
                Ok(letter) => Ok(letter),
                Err(err) if err.kind() == LastRawMessageErrorKind::NoMessageFound => Err("nothing"),
                Err(err) => panic!("{DEAD_LETTERS} cannot be read: {err}"),
            }
        })
        .await;
        let header = |name: &str| Some(letter.headers.get(name)?.as_str().to_owned());
        let text = |name: &str| header(&format!("dead-letter-{name}")).unwrap_or_default();
        DeadLetter {
            kind: text("kind"),
            reason: percent_decoded(&text("reason")),
            attempts: text("attempts"),
            origin: (text("stream"), text("sequence")),
            body: header("dead-letter-body"),
            payload: letter.payload.clone(),
        }
    }

    /// The subjects of all dead letters.
    ///
    /// # Panics
    ///
    /// If the server does not tell.
    pub async fn dead_letters(&self) -> Vec<String> {
        let stream = self.stream(DEAD_LETTERS).await;
        let mut subjects = stream.info_with_subjects(">").await.unwrap();
        let mut found = Vec::new();
        while let Some((subject, _)) = subjects.try_next().await.unwrap() {
            found.push(subject);
        }
        found
    }

    async fn stream(&self, name: &str) -> Stream<()> {
        self.jetstream.get_stream_no_info(name).await.unwrap()
    }
}

/// Values of headers are written as the NATS binding of `CloudEvents` says.
fn percent_decoded(value: &str) -> String {
    percent_encoding::percent_decode_str(value)
        .decode_utf8_lossy()
        .into_owned()
}
