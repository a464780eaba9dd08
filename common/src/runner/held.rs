//! Events that came before their predecessor, and are stored until it has been applied.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::worker::{Judgement, Worker, counted};
use crate::dead_letter::{DeadLetter, Kind};
use crate::error::Chain;
use crate::event::Carries;
use crate::jitter::jitter;
use crate::listener::Handled;
use crate::message::Incoming;
use crate::metadata::Metadata;
use crate::name::Key;
use crate::sql::{GroupLedger, HeldEvent};
use crate::topology::{ConsumerInfo, DEAD_LETTERS, MAX_AGE};

use super::attempts::Attempts;

/// How often strays are looked for.
const SWEEP: Duration = Duration::from_secs(10);
/// How often what is no longer needed is removed.
const CLEAN: Duration = Duration::from_hours(1);
/// How long a predecessor may take before it is asked whether it can still come.
const PATIENCE: Duration = Duration::from_mins(5);
/// How long an event is left alone that could not be applied though it was its turn.
const STUCK: Duration = Duration::from_mins(1);
/// How many held events one sweep takes up.
const BATCH: u32 = 100;

/// Whether the successor may be tried at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Applied,
    Stuck,
}

impl Worker {
    fn ledger(&self) -> Option<&GroupLedger> {
        match &self.attempts {
            Attempts::Server => None,
            Attempts::Database(ledger) => Some(ledger),
        }
    }

    /// Applies what was held behind the version of this key that has just been applied.
    pub(super) async fn release(&self, key: &Key) {
        let Some(ledger) = self.ledger() else {
            return;
        };
        loop {
            match ledger.next_held(key).await {
                Ok(Some(held)) => {
                    if self.apply(ledger, &held).await == Progress::Stuck {
                        return;
                    }
                }
                Ok(None) => return,
                Err(err) => {
                    // The sweep comes by.
                    tracing::debug!(error = %Chain(&err), "held events are left to the sweep");
                    return;
                }
            }
        }
    }

    /// Applies one held event.
    async fn apply(&self, ledger: &GroupLedger, held: &HeldEvent) -> Progress {
        let Some((&channel, handler)) = self.handlers.get_key_value(held.channel.as_str()) else {
            self.put_off(ledger, held, STUCK).await;
            return Progress::Stuck;
        };
        let attempt = held.attempts + 1;
        let incoming = Incoming {
            metadata: Arc::new(Metadata::read(
                channel,
                held.key.clone(),
                held.position.clone(),
                attempt,
                held.headers.clone(),
            )),
            payload: held.payload.clone(),
        };
        let Some(judgement) = self.judge(&**handler, &incoming).await else {
            return Progress::Stuck;
        };
        let (kind, reason) = match judgement {
            Judgement::Handled(Handled::Held) | Judgement::Unknown { .. } => {
                self.put_off(ledger, held, STUCK).await;
                return Progress::Stuck;
            }
            Judgement::Handled(Handled::Done { .. }) => return Progress::Applied,
            Judgement::Handled(Handled::Duplicate | Handled::AlreadyApplied) => {
                self.ledger_does(|| ledger.drop_held(held)).await;
                return Progress::Applied;
            }
            Judgement::Again { after, reason } => match self.policy.delay_after(attempt) {
                Some(delay) => {
                    let delay = after.unwrap_or(delay);
                    tracing::warn!(channel, key = %held.key, version = %held.version, attempt, ?delay, %reason, "held event failed");
                    let next_try = Timestamp::now() + delay + jitter(delay / 4);
                    self.ledger_does(|| ledger.postpone_held(held, attempt, next_try))
                        .await;
                    return Progress::Stuck;
                }
                None => (Kind::Exhausted, reason),
            },
            Judgement::Dead { kind, reason } => (kind, reason),
        };
        self.bury_held(ledger, held, kind, reason, attempt).await;
        Progress::Stuck
    }

    async fn bury_held(
        &self,
        ledger: &GroupLedger,
        held: &HeldEvent,
        kind: Kind,
        reason: String,
        attempts: u32,
    ) {
        let letter = DeadLetter {
            group: self.group.as_str(),
            channel: &held.channel,
            key: held.key.as_str(),
            position: &held.position,
            headers: &held.headers,
            payload: &held.payload,
            kind,
            reason,
            attempts,
        };
        if self.store(&letter).await {
            self.ledger_does(|| ledger.drop_held(held)).await;
        } else {
            self.put_off(ledger, held, STUCK).await;
        }
    }

    /// Leaves the event alone for a while, so that a sweep comes to those behind it.
    async fn put_off(&self, ledger: &GroupLedger, held: &HeldEvent, by: Duration) {
        let next_try = Timestamp::now() + by;
        self.ledger_does(|| ledger.postpone_held(held, held.attempts, next_try))
            .await;
    }

    async fn ledger_does<F, T>(&self, action: impl Fn() -> F)
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        self.outages.until_available(|| counted(action())).await;
    }

    /// Picks up strays: at the start, and every ten seconds.
    pub(super) async fn sweep(self: Arc<Self>) {
        let Some(ledger) = self.ledger() else {
            return;
        };
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clean = interval(CLEAN);
        loop {
            let swept = tokio::select! {
                _ = sweep.tick() => self.sweep_once(ledger).await,
                _ = clean.tick() => ledger.clean(MAX_AGE).await.map_err(|err| Chain(&err).to_string()),
                () = self.stop.cancelled() => return,
            };
            if let Err(reason) = swept {
                tracing::warn!(durable = %self.group, stream = %self.stream, %reason, "sweep of held events failed; the next one tries again");
            }
        }
    }

    async fn sweep_once(&self, ledger: &GroupLedger) -> Result<(), String> {
        for held in counted(ledger.due_held(BATCH)).await? {
            if self.apply(ledger, &held).await == Progress::Applied {
                self.release(&held.key).await;
            }
        }
        for held in counted(ledger.orphans(PATIENCE, BATCH)).await? {
            if self.predecessor_can_come(&held).await? {
                self.put_off(ledger, &held, PATIENCE).await;
            } else {
                self.decide_orphan(ledger, &held).await?;
            }
        }
        Ok(())
    }

    /// Whether an earlier version may still be on its way: behind this one in the stream, or among the dead letters.
    async fn predecessor_can_come(&self, held: &HeldEvent) -> Result<bool, String> {
        let api = |err| Chain(&err).to_string();
        let info = ConsumerInfo::read(&self.client, self.stream.as_str(), self.group.as_str());
        let Some(info) = info.await.map_err(api)? else {
            return Ok(true);
        };
        if info.ack_floor.stream_seq < held.position.sequence {
            return Ok(true);
        }
        let letters = format!("dead-letter.{}.*.{}", self.group, held.key);
        let stream: serde_json::Value = self
            .client
            .api(
                &format!("STREAM.INFO.{DEAD_LETTERS}"),
                &json!({ "subjects_filter": letters }),
            )
            .await
            .map_err(api)?;
        let subjects = stream.pointer("/state/subjects");
        Ok(subjects.is_some_and(|subjects| !subjects.is_null()))
    }

    /// The predecessor never comes: a whole state is a new start, a change alone is dead.
    async fn decide_orphan(&self, ledger: &GroupLedger, held: &HeldEvent) -> Result<(), String> {
        let carries = self
            .handlers
            .get(held.channel.as_str())
            .map(|handler| handler.carries());
        match carries {
            Some(Carries::WholeState) => {
                tracing::error!(key = %held.key, version = %held.version, "predecessor is lost; this version is the new start");
                counted(ledger.rebase(held)).await?;
                self.release(&held.key).await;
            }
            Some(Carries::Change) => {
                let reason = "predecessor missing".to_owned();
                self.bury_held(ledger, held, Kind::PredecessorMissing, reason, 0)
                    .await;
            }
            None => self.put_off(ledger, held, PATIENCE).await,
        }
        Ok(())
    }
}
