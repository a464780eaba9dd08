use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::{self, message::Message};
use common::{Client, SubjectSet as _, Subjects};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::timeout;

/// Where dead letters are.
const DEAD_LETTERS: &str = "DEAD_LETTERS";
/// An answer that takes longer is not coming.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The streams, as their server shows them to anybody: nothing here goes through the library that is under test.
#[derive(Debug)]
pub(crate) struct Broker {
    jetstream: jetstream::Context,
}

/// An event as it lies in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) subject: Subjects,
    pub(crate) key: String,
    /// What its headers say of subject and key: `ce-type` and `ce-subject`.
    pub(crate) named: (String, String),
    /// Where it came from, and its id there.
    pub(crate) identity: (String, String),
    /// The id of the event that it was published for. `None`: for a request.
    pub(crate) cause: Option<String>,
    /// Of what it tells of, if it says so.
    pub(crate) version: Option<i64>,
    /// What it tells.
    pub(crate) payload: Value,
    /// When its publisher wrote it.
    pub(crate) written: Option<Timestamp>,
    /// When the server stored it.
    pub(crate) stored: Timestamp,
}

/// How far a queue group has come with a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Consumer {
    pub(crate) stream: String,
    pub(crate) group: String,
    /// Not delivered yet.
    pub(crate) pending: u64,
    /// Delivered and not settled.
    pub(crate) unacknowledged: u64,
    /// Every delivery that ever was, repeated ones included.
    pub(crate) deliveries: u64,
}

/// How much of a message is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parts {
    Heads,
    All,
}

/// What the streams hold.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Stream by stream, each in the order in which it has them.
    pub(crate) events: Vec<Event>,
    /// The subjects of what is on no channel: schedules that have not fired, copies for one group.
    pub(crate) others: Vec<String>,
}

impl Broker {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            jetstream: jetstream::new(client.nats()),
        }
    }

    /// Every durable consumer on the streams of the list.
    pub(crate) async fn consumers(&self) -> anyhow::Result<Vec<Consumer>> {
        let mut consumers = Vec::new();
        for name in streams() {
            let stream = self.jetstream.get_stream_no_info(name).await?;
            let mut infos = stream.consumers();
            while let Some(info) = infos.try_next().await? {
                let Some(group) = info.config.durable_name else {
                    continue;
                };
                consumers.push(Consumer {
                    stream: name.to_owned(),
                    group,
                    pending: info.num_pending,
                    unacknowledged: info.num_ack_pending as u64,
                    deliveries: info.delivered.consumer_sequence,
                });
            }
        }
        Ok(consumers)
    }

    /// Everything in the streams of the list.
    pub(crate) async fn stored(&self) -> anyhow::Result<Stored> {
        let mut stored = Stored::default();
        for name in streams() {
            for message in &self.read(name, Parts::All).await? {
                match channel_and_key(&message.subject) {
                    Some((channel, key)) => stored.events.push(Event::read(channel, key, message)?),
                    None => stored.others.push(message.subject.to_string()),
                }
            }
        }
        Ok(stored)
    }

    /// Every dead letter: where it is, and why.
    pub(crate) async fn dead_letters(&self) -> anyhow::Result<Vec<String>> {
        let messages = self.read(DEAD_LETTERS, Parts::Heads).await?;
        Ok(messages
            .iter()
            .map(|message| {
                let reason = header(message, "dead-letter-reason").unwrap_or("no reason given");
                format!("{}: {reason}", message.subject)
            })
            .collect())
    }

    /// All messages that are in a stream now.
    async fn read(&self, stream: &str, parts: Parts) -> anyhow::Result<Vec<Message>> {
        let consumer = self
            .jetstream
            .get_stream_no_info(stream)
            .await?
            .create_consumer(pull::OrderedConfig {
                deliver_policy: DeliverPolicy::All,
                headers_only: parts == Parts::Heads,
                ..pull::OrderedConfig::default()
            })
            .await
            .with_context(|| format!("stream {stream} cannot be read"))?;
        let expected = usize::try_from(consumer.cached_info().num_pending)?;
        let mut messages = consumer.messages().await?.take(expected);
        let mut read = Vec::with_capacity(expected);
        while let Some(message) = timeout(ANSWER_WITHIN, messages.next())
            .await
            .with_context(|| format!("stream {stream} fell silent"))?
        {
            read.push(message.with_context(|| format!("stream {stream} cannot be read"))?);
        }
        Ok(read)
    }
}

impl Consumer {
    /// Whether everything is delivered and settled.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.pending == 0 && self.unacknowledged == 0
    }
}

impl Event {
    fn read(subject: Subjects, key: &str, message: &Message) -> anyhow::Result<Self> {
        let info = message.info().map_err(anyhow::Error::from_boxed)?;
        let stored = info.published.unix_timestamp_nanos();
        let text = |name| header(message, name).unwrap_or_default().to_owned();
        let payload: Value = serde_json::from_slice(&message.payload)
            .with_context(|| format!("message on {} is no JSON", message.subject))?;
        Ok(Self {
            subject,
            key: key.to_owned(),
            named: (text("ce-type"), text("ce-subject")),
            identity: (text("ce-source"), text("ce-id")),
            cause: header(message, "ce-causationid").map(str::to_owned),
            version: payload["version"].as_i64(),
            payload,
            written: header(message, "ce-time").and_then(|time| time.parse().ok()),
            stored: Timestamp::from_nanosecond(stored)?,
        })
    }
}

/// What an event's subject is made of. `None` for everything else that a stream takes.
fn channel_and_key(subject: &str) -> Option<(Subjects, &str)> {
    let (channel, key) = subject.split_once('.')?;
    Some((channel.parse().ok()?, key))
}

fn header<'m>(message: &'m Message, name: &str) -> Option<&'m str> {
    Some(message.headers.as_ref()?.get(name)?.as_str())
}

fn streams() -> BTreeSet<&'static str> {
    Subjects::ALL
        .iter()
        .map(|subject| subject.stream().as_str())
        .collect()
}
