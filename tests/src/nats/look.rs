use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use common::{QueueGroup, StreamName};
use futures::TryStreamExt as _;
use serde_json::{Value, json};

use super::TestNats;
use crate::until;
use crate::until::DEADLINE;

/// A message as it lies in its stream.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where in the stream.
    pub sequence: u64,
    /// All of its subject.
    pub subject: String,
    /// Its headers, each name with all of its values.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Its payload.
    pub payload: Bytes,
}

/// What the server knows of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerState {
    /// Messages that nobody was given yet.
    pub pending: u64,
    /// Messages that somebody has and has not settled.
    pub unsettled: u64,
    /// Messages that were given more than once and are not settled.
    pub redelivered: u64,
    /// All messages up to this one are settled.
    pub floor: u64,
}

impl Message {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.first().map(String::as_str)
    }
}

pub(super) fn headers(map: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    map.iter()
        .map(|(name, values)| {
            let values = values.iter().map(|value| value.as_str().to_owned());
            (name.to_string(), values.collect())
        })
        .collect()
}

/// The messages of a stream on subjects of this form, oldest first, as the client has them. Read again from the start if
/// the server breaks off: a cluster elects who answers.
pub(crate) async fn read(
    jetstream: &jetstream::Context,
    stream: &str,
    filter: &str,
) -> Vec<jetstream::Message> {
    let what = format!("{stream} is read");
    let asked = (jetstream.clone(), stream.to_owned(), filter.to_owned());
    until(&what, async move || {
        let (jetstream, stream, filter) = &asked;
        let read = try_read(jetstream, stream, filter).await;
        read.map_err(|err| err.to_string())
    })
    .await
}

async fn try_read(
    jetstream: &jetstream::Context,
    stream: &str,
    filter: &str,
) -> Result<Vec<jetstream::Message>, async_nats::Error> {
    let config = pull::Config {
        filter_subject: filter.to_owned(),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::None,
        inactive_threshold: Duration::from_secs(10),
        ..pull::Config::default()
    };
    let stream = jetstream.get_stream_no_info(stream).await?;
    let consumer = stream.create_consumer(config).await?;
    let pending = usize::try_from(consumer.cached_info().num_pending)?;
    if pending == 0 {
        return Ok(Vec::new());
    }
    let messages = consumer.batch().max_messages(pending).messages().await?;
    let messages: Vec<_> = messages.try_collect().await?;
    // The client ends a batch after 5 s, or without its server, as if that were all.
    if messages.len() < pending {
        return Err(format!("{} of {pending} messages came", messages.len()).into());
    }
    Ok(messages)
}

/// What a test sees and changes on the server, without the library.
impl TestNats {
    /// One request to the JetStream API: `STREAM.INFO.NOTES`. The answer may be an error.
    ///
    /// # Panics
    ///
    /// If there is no answer.
    pub async fn ask(&self, subject: &str, body: &Value) -> Value {
        let answer = self.jetstream.request(subject.to_owned(), body).await;
        answer.unwrap()
    }

    /// As [`ask`](Self::ask), where the server must do as it is told.
    ///
    /// # Panics
    ///
    /// If there is no answer, or it is an error.
    pub async fn tell(&self, subject: &str, body: &Value) -> Value {
        let answer = self.ask(subject, body).await;
        assert!(answer.get("error").is_none(), "{subject}: {answer}");
        answer
    }

    /// Publishes bytes on a subject, and yields their place in the stream.
    ///
    /// # Panics
    ///
    /// If the server does not take them.
    pub async fn put(&self, subject: &str, payload: impl Into<Bytes>) -> u64 {
        self.put_with(subject, &[], payload).await
    }

    /// Publishes bytes on a subject with headers, and yields their place in the stream.
    ///
    /// # Panics
    ///
    /// If the server does not take them.
    pub async fn put_with(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: impl Into<Bytes>,
    ) -> u64 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, *value);
        }
        let (subject, payload) = (subject.to_owned(), payload.into());
        let stored = self
            .jetstream
            .publish_with_headers(subject, map, payload)
            .await;
        stored.unwrap().await.unwrap().sequence
    }

    /// Takes the next message of a group and gives it back, so many times, as replicas that cannot read it.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn hand_back(&self, stream: StreamName, group: QueueGroup, times: u32) {
        let stream = self
            .jetstream
            .get_stream_no_info(stream.as_str())
            .await
            .unwrap();
        let consumer: jetstream::consumer::PullConsumer =
            stream.get_consumer(group.as_str()).await.unwrap();
        for _ in 0..times {
            let mut messages = consumer
                .fetch()
                .max_messages(1)
                .expires(DEADLINE)
                .messages()
                .await
                .unwrap();
            let message = messages
                .try_next()
                .await
                .unwrap()
                .expect("there is a message");
            message
                .ack_with(jetstream::AckKind::Nak(None))
                .await
                .unwrap();
        }
    }

    /// The messages of a stream on subjects of this form, oldest first.
    ///
    /// # Panics
    ///
    /// If the server does not show them.
    pub async fn stored(&self, stream: &str, filter: &str) -> Vec<Message> {
        read(&self.jetstream, stream, filter)
            .await
            .into_iter()
            .map(|message| Message {
                sequence: message.info().unwrap().stream_sequence,
                subject: message.subject.to_string(),
                headers: headers(&message.headers.clone().unwrap_or_default()),
                payload: message.payload.clone(),
            })
            .collect()
    }

    /// How many messages are in a stream.
    ///
    /// # Panics
    ///
    /// If there is no such stream.
    pub async fn stream_messages(&self, stream: StreamName) -> u64 {
        let info = self
            .tell(&format!("STREAM.INFO.{stream}"), &json!({}))
            .await;
        info["state"]["messages"].as_u64().unwrap()
    }

    /// How a group stands on a stream. `None`: it has no consumer there.
    ///
    /// # Panics
    ///
    /// If the server does not tell.
    pub async fn consumer(&self, stream: StreamName, group: QueueGroup) -> Option<ConsumerState> {
        let info = self.consumer_info(stream, group).await;
        let number = |pointer: &str| info.pointer(pointer).and_then(Value::as_u64);
        Some(ConsumerState {
            pending: number("/num_pending")?,
            unsettled: number("/num_ack_pending")?,
            redelivered: number("/num_redelivered")?,
            floor: number("/ack_floor/stream_seq")?,
        })
    }

    async fn consumer_info(&self, stream: StreamName, group: QueueGroup) -> Value {
        self.ask(&format!("CONSUMER.INFO.{stream}.{group}"), &json!({}))
            .await
    }

    /// Waits until a group stands as described.
    ///
    /// # Panics
    ///
    /// If it never does.
    pub async fn until_consumer(
        &self,
        stream: StreamName,
        group: QueueGroup,
        what: &str,
        is_so: impl Fn(ConsumerState) -> bool,
    ) {
        until(&format!("{group} on {stream} {what}"), async || match self
            .consumer(stream, group)
            .await
        {
            Some(state) if is_so(state) => Ok(()),
            other => Err(other),
        })
        .await;
    }

    /// Waits until a group has settled all that is in a stream.
    ///
    /// # Panics
    ///
    /// If it never has.
    pub async fn until_caught_up(&self, stream: StreamName, group: QueueGroup) {
        self.until_consumer(stream, group, "has settled everything", |state| {
            state.pending == 0 && state.unsettled == 0
        })
        .await;
    }

    /// Changes a setting of a consumer, as an operator would.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn set_consumer(
        &self,
        stream: StreamName,
        group: QueueGroup,
        setting: &str,
        value: Value,
    ) {
        let mut config = self.consumer_info(stream, group).await["config"].take();
        config[setting] = value;
        self.tell(
            &format!("CONSUMER.CREATE.{stream}.{group}"),
            &json!({ "stream_name": stream.as_str(), "config": config, "action": "update" }),
        )
        .await;
    }

    /// Sets how long a delivered message belongs to a replica that is silent.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn set_lease(&self, stream: StreamName, group: QueueGroup, lease: Duration) {
        let nanos = u64::try_from(lease.as_nanos()).unwrap();
        self.set_consumer(stream, group, "ack_wait", json!(nanos))
            .await;
    }

    /// Deletes a consumer.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn delete_consumer(&self, stream: StreamName, group: QueueGroup) {
        self.tell(&format!("CONSUMER.DELETE.{stream}.{group}"), &json!({}))
            .await;
    }

    /// The settings of a stream.
    ///
    /// # Panics
    ///
    /// If there is no such stream.
    pub async fn stream_config(&self, stream: &str) -> Value {
        self.tell(&format!("STREAM.INFO.{stream}"), &json!({}))
            .await["config"]
            .take()
    }

    /// Changes a setting of a stream, as an operator would.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn set_stream(&self, stream: &str, setting: &str, value: Value) {
        let mut config = self.stream_config(stream).await;
        config[setting] = value;
        self.tell(&format!("STREAM.UPDATE.{stream}"), &config).await;
    }

    /// Deletes a stream and everything in it.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn delete_stream(&self, stream: &str) {
        self.tell(&format!("STREAM.DELETE.{stream}"), &json!({}))
            .await;
    }
}
