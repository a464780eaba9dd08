use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Database;
use super::outbox::Acknowledged;
use crate::client::Client;
use crate::error::Chain;
use crate::health::{Health, Severity};
use crate::message::Outgoing;
use crate::publisher::{JetStreamPublisher, PublishError, Stored};

mod lanes;
mod lease;
mod shift;
mod siblings;
#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;

use lease::Lease;
pub(super) use lease::NAME as LEASE;
use shift::Shift;

/// The part of the process's health that the relay reports.
const PART: &str = "outbox";

/// Publishes what the outbox holds: at least once, and per key in order.
///
/// One relay works at a time, however many replicas run one; another takes over when its lease
/// expires, after 10 s at most. What it promises beyond that: after a take-over, possibly an old
/// copy of an event after newer ones.
///
/// An event that the server refuses for good blocks the events of its key and no others, makes the
/// process not ready, and is tried again every minute. While the server is away, the relay waits for it.
#[derive(Debug)]
pub struct Relay {
    database: Database,
    client: Client,
}

impl Relay {
    /// A relay from the outbox of `database` to the streams that `client` reaches.
    #[must_use]
    pub fn new(database: &Database, client: &Client) -> Self {
        Self {
            database: database.clone(),
            client: client.clone(),
        }
    }

    /// Publishes until `shutdown`, and then for up to 5 s what was committed until then. Troubles are reported
    /// to the client's health and waited out; at the end, what is in trouble stays in the outbox for the next relay.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let broker = JetStreamPublisher::new(&self.client);
        let health = self.client.health();
        Office::new(&self.database, &broker, health, Pace::default())
            .run(shutdown)
            .await;
    }
}

/// What takes the events.
trait Broker: Sync {
    /// Sends one event, and returns when it is stored. What can be retried has been, for a while.
    fn send(
        &self,
        outgoing: &Outgoing,
        due: Option<Timestamp>,
    ) -> impl Future<Output = Result<Stored, PublishError>> + Send;
}

impl Broker for JetStreamPublisher {
    async fn send(
        &self,
        outgoing: &Outgoing,
        due: Option<Timestamp>,
    ) -> Result<Stored, PublishError> {
        JetStreamPublisher::send(self, outgoing, due).await
    }
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// How long a lease lasts without being renewed.
    lease: Duration,
    /// How long until the database is asked again: after an error, or for a lease that another holds.
    retry: Duration,
    /// How long until the outbox is read without having been woken.
    poll: Duration,
    /// How long until a sibling's commit is noticed on SQLite.
    siblings: Duration,
    /// How long an acknowledged row may wait for others to be removed with it.
    removal: Duration,
    /// How long a stream that took nothing is left alone; doubles with each failure.
    pause: Duration,
    /// The most that it becomes.
    longest_pause: Duration,
    /// How long a refused event waits for its next try.
    blocked: Duration,
    /// How long shutdown waits for what is still to be sent.
    drain: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            retry: Duration::from_secs(1),
            poll: Duration::from_secs(5),
            siblings: Duration::from_millis(100),
            removal: Duration::from_millis(20),
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            blocked: Duration::from_mins(1),
            drain: Duration::from_secs(5),
        }
    }
}

/// A relay with its broker: waits for the lease, and works while it has it.
#[derive(Debug)]
struct Office<'o, B> {
    database: &'o Database,
    broker: &'o B,
    health: &'o Health,
    pace: Pace,
    holder: String,
}

impl<'o, B: Broker> Office<'o, B> {
    fn new(database: &'o Database, broker: &'o B, health: &'o Health, pace: Pace) -> Self {
        Self {
            database,
            broker,
            health,
            pace,
            holder: Uuid::now_v7().to_string(),
        }
    }

    async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let stop = CancellationToken::new();
        let signal = async {
            shutdown.await;
            stop.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = self.work(&stop) => (),
            () = siblings::watch(self.database, self.pace) => (),
            () = signal => (),
        }
        self.health.clear(PART);
    }

    async fn work(&self, stop: &CancellationToken) {
        let mut woken = self.database.committed().subscribe();
        // Outlives a shift: what is acknowledged is not sent again because the database was away.
        let mut acknowledged = Vec::new();
        while !stop.is_cancelled() {
            if let Err(err) = self.try_shift(&mut acknowledged, &mut woken, stop).await {
                let message = format!("database: {}", Chain(&err));
                self.health.report(PART, Severity::Warning, message);
            }
            tokio::select! {
                () = stop.cancelled() => (),
                () = tokio::time::sleep(self.pace.retry) => (),
            }
        }
    }

    async fn try_shift(
        &self,
        acknowledged: &mut Vec<Acknowledged>,
        woken: &mut watch::Receiver<()>,
        stop: &CancellationToken,
    ) -> Result<(), sqlx::Error> {
        if let Some(lease) = Lease::take(self.database, &self.holder, self.pace.lease).await? {
            tracing::info!(epoch = lease.epoch(), "relay has the lease");
            Shift::new(self, lease, acknowledged)
                .run(woken, stop)
                .await?;
        }
        // Whatever was wrong is the business of whoever has the lease now.
        self.health.clear(PART);
        Ok(())
    }
}
