use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::{Client, Database, JetStreamPublisher, Publisher as _, Relay};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::ledger::Ledger;
use crate::notes::Deposited;

/// How long an account rests between two deposits.
const EVERY: Duration = Duration::from_millis(40);
/// How many accounts are told of by a publisher, and how many by an outbox.
const ACCOUNTS: usize = 3;

/// When something has happened, and how long nothing did. Clones share what is noted.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<Beats>>);

#[derive(Debug, Default)]
struct Beats {
    count: usize,
    last: Option<Instant>,
    longest: Duration,
}

impl Pulse {
    /// Notes that it happened now.
    pub fn beat(&self) {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(last) = beats.last.replace(now) {
            beats.longest = beats.longest.max(now - last);
        }
        beats.count += 1;
    }

    /// How often it happened.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// The longest time between two of them.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beats.longest
    }
}

/// Money that comes in on several accounts all the time, one version after the other: half of them told of by a
/// [`JetStreamPublisher`], half through an outbox and its [`Relay`].
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    savers: Vec<AbortOnDropHandle<(String, u64)>>,
    acknowledged: Pulse,
    relay_stop: CancellationToken,
    relay: AbortOnDropHandle<()>,
}

impl Load {
    /// Begins.
    #[must_use]
    pub fn start(client: &Client, ledger: &Ledger) -> Self {
        let stop = CancellationToken::new();
        let acknowledged = Pulse::default();
        let mut savers = Vec::new();
        for number in 0..ACCOUNTS {
            let publisher = JetStreamPublisher::new(client);
            let saver = publish(
                publisher,
                format!("published-{number}"),
                acknowledged.clone(),
                stop.clone(),
            );
            savers.push(AbortOnDropHandle::new(tokio::spawn(saver)));
            let database = ledger.database().clone();
            let saver = commit(database, format!("committed-{number}"), stop.clone());
            savers.push(AbortOnDropHandle::new(tokio::spawn(saver)));
        }
        let relay_stop = CancellationToken::new();
        let relay = Relay::new(ledger.database(), client);
        let relay = tokio::spawn(relay.run(relay_stop.clone().cancelled_owned()));
        Self {
            stop,
            savers,
            acknowledged,
            relay_stop,
            relay: AbortOnDropHandle::new(relay),
        }
    }

    /// What the server has acknowledged to the publisher.
    #[must_use]
    pub fn acknowledged(&self) -> &Pulse {
        &self.acknowledged
    }

    /// Ends when everything is published, and yields how many deposits were made on each account.
    ///
    /// # Panics
    ///
    /// If one of them failed.
    pub async fn stop(self, ledger: &Ledger) -> BTreeMap<String, u64> {
        self.stop.cancel();
        let mut deposits = BTreeMap::new();
        for saver in self.savers {
            let (account, made) = saver.await.unwrap();
            deposits.insert(account, made);
        }
        ledger.until_sent().await;
        self.relay_stop.cancel();
        self.relay.await.unwrap();
        deposits
    }
}

async fn publish(
    publisher: JetStreamPublisher,
    account: String,
    acknowledged: Pulse,
    stop: CancellationToken,
) -> (String, u64) {
    let mut made = 0;
    let mut rest = rests();
    while !stop.is_cancelled() {
        rest.tick().await;
        let deposit = Deposited::of(&account, made + 1, deposit(made + 1));
        publisher.publish(&deposit).await.unwrap();
        acknowledged.beat();
        made += 1;
    }
    (account, made)
}

async fn commit(database: Database, account: String, stop: CancellationToken) -> (String, u64) {
    let mut made = 0;
    let mut rest = rests();
    while !stop.is_cancelled() {
        rest.tick().await;
        let deposit = Deposited::of(&account, made + 1, deposit(made + 1));
        let mut tx = database.begin().await.unwrap();
        tx.publish(&deposit).await.unwrap();
        tx.commit().await.unwrap();
        made += 1;
    }
    (account, made)
}

/// As much as its number: what is missing or comes twice shows in the entries.
fn deposit(number: u64) -> i64 {
    number.cast_signed()
}

fn rests() -> tokio::time::Interval {
    let mut rests = interval(EVERY);
    rests.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rests
}
