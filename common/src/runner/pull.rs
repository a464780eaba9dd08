use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::client::Connection;
use crate::error::Chain;

/// How long the server keeps a request for messages.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that it still has the request.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long the server may be silent before the request is thought lost: two heartbeats, and some.
const SILENCE: Duration = Duration::from_secs(12);

/// Asks a durable consumer for as many messages as can be used, and counts what is still to come
/// (pull requests, ADR-13).
///
/// The async client's own streams ask for more than was wanted, stall on heartbeats and loop on
/// size limits; one subscription and a counter have none of that.
pub(super) struct Pull {
    nats: async_nats::Client,
    subscriber: Subscriber,
    inbox: String,
    subject: String,
    requests: u64,
    outstanding: usize,
    heard: Instant,
}

/// What came of a pull.
pub(super) enum Pulled {
    /// A message.
    Message(Message),
    /// A heartbeat, or the end of a request: no message.
    Nothing,
    /// The consumer is gone or the subscription is: bind anew.
    Lost(String),
}

impl Pull {
    pub(super) async fn open(
        connection: &Connection,
        stream: &str,
        durable: &str,
    ) -> Result<Self, async_nats::SubscribeError> {
        let nats = connection.nats.clone();
        let inbox = nats.new_inbox();
        let subscriber = nats.subscribe(format!("{inbox}.*")).await?;
        Ok(Self {
            nats,
            subscriber,
            inbox,
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"),
            requests: 0,
            outstanding: 0,
            heard: Instant::now(),
        })
    }

    /// Asks for so many more that `room` messages are to come, once `worthwhile` are missing: a request
    /// serves many messages.
    pub(super) async fn top_up(
        &mut self,
        room: usize,
        worthwhile: usize,
    ) -> Result<(), async_nats::PublishError> {
        let missing = room.saturating_sub(self.outstanding);
        if missing < worthwhile.max(1) {
            return Ok(());
        }
        if self.outstanding == 0 {
            self.heard = Instant::now();
        }
        self.requests += 1;
        let request = json!({
            "batch": missing,
            "expires": u64::try_from(EXPIRES.as_nanos()).unwrap_or(u64::MAX),
            "idle_heartbeat": u64::try_from(HEARTBEAT.as_nanos()).unwrap_or(u64::MAX),
        });
        let reply = format!("{}.{}", self.inbox, self.requests);
        self.nats
            .publish_with_reply(
                self.subject.clone(),
                reply,
                Bytes::from(request.to_string()),
            )
            .await?;
        self.outstanding += missing;
        Ok(())
    }

    /// When to stop waiting: with messages to come, the server says something every few seconds.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        (self.outstanding > 0).then(|| self.heard + SILENCE)
    }

    /// When the server last said something.
    pub(super) fn heard(&self) -> Instant {
        self.heard
    }

    /// What comes next.
    pub(super) async fn next(&mut self) -> Pulled {
        let Some(message) = self.subscriber.next().await else {
            return Pulled::Lost("subscription ended".to_owned());
        };
        self.heard = Instant::now();
        let status = match message.status {
            // A stored message may have a status as well, from whoever published it; it can be settled.
            Some(status) if message.reply.is_none() => status,
            Some(_) | None => {
                self.outstanding = self.outstanding.saturating_sub(1);
                return Pulled::Message(message);
            }
        };
        match status {
            StatusCode::IDLE_HEARTBEAT => Pulled::Nothing,
            // Expired, or the batch is complete: the server says how much does not come.
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND => {
                let unsent = unsent(&message);
                self.outstanding =
                    unsent.map_or(0, |unsent| self.outstanding.saturating_sub(unsent));
                Pulled::Nothing
            }
            status => {
                let words = message.description.unwrap_or_default();
                Pulled::Lost(format!("server answers {status} {words}"))
            }
        }
    }

    /// Stops, and returns what was on its way. Takes at most a second, for the connection may be gone.
    pub(super) async fn close(mut self) -> Vec<Message> {
        let mut rest = Vec::new();
        let draining = async {
            if let Err(err) = self.subscriber.drain().await {
                tracing::debug!(error = %Chain(&err), "subscription is not drained; what is here is taken");
            }
            while let Some(message) = self.subscriber.next().await {
                if message.reply.is_some() {
                    rest.push(message);
                }
            }
        };
        if timeout(Duration::from_secs(1), draining).await.is_err() {
            tracing::debug!("server did not end the subscription; what comes now comes again");
        }
        rest
    }
}

fn unsent(message: &Message) -> Option<usize> {
    let headers = message.headers.as_ref()?;
    headers.get("Nats-Pending-Messages")?.as_str().parse().ok()
}
