//! Events that came before their predecessor, and are stored until it has been applied.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::worker::{Judgement, USED_UP, Worker, counted, not_applied, spaced};
use crate::dead_letter::{self, DeadLetter};
use crate::dead_letters::Kind;
use crate::error::Chain;
use crate::event::Carries;
use crate::health::Severity;
use crate::listener::{DEADLINE, Handled};
use crate::message::Incoming;
use crate::name::Key;
use crate::sql::{GroupLedger, HeldEvent, HeldEvents};
use crate::stored::RawMessage;
use crate::topology::{ConsumerInfo, DEAD_LETTERS, MAX_AGE, StreamInfo, given_up};

use super::attempts::Attempts;

/// How often strays are looked for.
const SWEEP: Duration = Duration::from_secs(10);
/// How often what is no longer needed is removed.
const CLEAN: Duration = Duration::from_hours(1);
/// How long a predecessor may take before it is asked whether it can still come.
const PATIENCE: Duration = Duration::from_mins(5);
/// How many held events one sweep takes up.
const BATCH: u32 = 100;
/// For how many held events that failed it is remembered when they are due.
const MOST_TRIES: usize = 1000;
/// How long a sweep has an event for itself that it tries: nobody else begins while a handler may run that has the usual
/// deadline. When its process dies, the event waits for so long.
const CLAIM: Duration = DEADLINE.saturating_add(Duration::from_mins(1));
/// How long an event is left alone of which nothing can be said yet.
const UNDECIDED: Duration = Duration::from_mins(1);

/// Whether the successor may be tried at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Applied,
    Stuck,
}

/// Whether a sweep has come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Swept {
    Everything,
    /// There may be more.
    Batch,
}

impl Swept {
    fn of(events: &[HeldEvent]) -> Self {
        if events.len() < BATCH as usize {
            Self::Everything
        } else {
            Self::Batch
        }
    }
}

/// When held events that failed here are tried again. What is not in it waits for a sweep.
pub(super) struct Tries(watch::Sender<BTreeSet<Instant>>);

impl Default for Tries {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeSet::new()))
    }
}

impl Tries {
    fn add(&self, at: Instant) {
        self.0.send_if_modified(|tries| {
            // The sweep comes by for the rest.
            tries.len() < MOST_TRIES && tries.insert(at)
        });
    }

    /// Waits until one is due, and forgets all that are.
    async fn due(&self) {
        let mut changed = self.0.subscribe();
        loop {
            let first = changed.borrow_and_update().first().copied();
            let Some(at) = first else {
                // The sender is here.
                let _ = changed.changed().await;
                continue;
            };
            tokio::select! {
                () = sleep_until(at) => break,
                _ = changed.changed() => (),
            }
        }
        let now = Instant::now();
        self.0.send_modify(|tries| tries.retain(|at| *at > now));
    }
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
        // At the end, the next replica's sweep goes on.
        while !self.stop.is_cancelled() {
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
            return self.leave(ledger, held, UNDECIDED).await;
        };
        let attempt = held.attempts + 1;
        let incoming = Incoming::read(
            channel,
            held.key.clone(),
            held.position.clone(),
            attempt,
            held.headers.clone(),
            held.payload.clone(),
        );
        let Some(judgement) = self.judge(&**handler, &incoming).await else {
            return self.leave(ledger, held, Duration::ZERO).await;
        };
        let (kind, reason) = match judgement {
            Judgement::Handled(Handled::Held) | Judgement::Unknown { .. } => {
                return self.leave(ledger, held, UNDECIDED).await;
            }
            Judgement::Handled(Handled::Done { .. }) => return Progress::Applied,
            Judgement::Handled(
                why @ (Handled::Duplicate | Handled::AlreadyApplied | Handled::PassedOver),
            ) => {
                not_applied(why, &incoming.metadata);
                self.ledger_does(|| ledger.drop_held(held)).await;
                return Progress::Applied;
            }
            Judgement::Again { after, reason } => match self.policy.delay_after(attempt) {
                Some(delay) => {
                    let delay = after.unwrap_or(delay);
                    tracing::warn!(channel, key = %held.key, version = %held.version, attempt, ?delay, %reason, "held event failed");
                    let delay = spaced(delay);
                    let next_try = Timestamp::now() + delay;
                    self.ledger_does(|| ledger.postpone_held(held, attempt, next_try))
                        .await;
                    self.tries.add(Instant::now() + delay);
                    return Progress::Stuck;
                }
                None => (Kind::Exhausted, reason),
            },
            Judgement::Dead { kind, reason } => (kind, reason),
        };
        self.bury_held(ledger, held, kind, reason, attempt).await;
        Progress::Stuck
    }

    /// Leaves the event as it was, for a while, so that a sweep comes to those behind it.
    async fn leave(&self, ledger: &GroupLedger, held: &HeldEvent, time: Duration) -> Progress {
        let next_try = Timestamp::now() + time;
        self.ledger_does(|| ledger.leave_held(held, next_try)).await;
        Progress::Stuck
    }

    /// Applies an event whose turn came when nobody was there, or whose next try is due. It is
    /// counted before it starts, so that a handler that kills its process is counted too.
    async fn retry_held(&self, ledger: &GroupLedger, held: HeldEvent) -> Result<Progress, String> {
        let max_attempts = self.policy.max_attempts().get();
        if held.attempts >= max_attempts {
            let reason = USED_UP.to_owned();
            self.bury_held(ledger, &held, Kind::Exhausted, reason, max_attempts)
                .await;
            return Ok(Progress::Stuck);
        }
        let until = Timestamp::now() + CLAIM;
        match counted(ledger.claim_held(held, until)).await? {
            Some(held) => Ok(self.apply(ledger, &held).await),
            None => Ok(Progress::Stuck),
        }
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
        if self.store(&letter, SWEEP).await {
            self.ledger_does(|| ledger.drop_held(held)).await;
        } else {
            self.leave(ledger, held, UNDECIDED).await;
        }
    }

    async fn ledger_does<F, T>(&self, action: impl Fn() -> F)
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        self.outages.until_available(|| counted(action())).await;
    }

    /// Tries again what has failed, when it is due, and picks up strays: at the start, and every ten seconds.
    pub(super) async fn sweep(self: Arc<Self>) {
        let Some(ledger) = self.ledger() else {
            return;
        };
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clean = interval(CLEAN);
        loop {
            let sweeping = async {
                tokio::select! {
                    _ = sweep.tick() => self.sweep_once(ledger).await,
                    () = self.tries.due() => self.try_due(ledger).await.map(drop),
                    _ = clean.tick() => self.clean(ledger).await,
                    () = self.stop.cancelled() => Ok(()),
                }
            };
            let swept = tokio::select! {
                swept = sweeping => swept,
                () = self.drained() => return,
            };
            if let Err(reason) = swept {
                tracing::warn!(durable = %self.group, stream = %self.stream, %reason, "sweep of held events failed; the next one tries again");
            }
            if self.stop.is_cancelled() {
                return;
            }
        }
    }

    /// The time is over in which work may go on after `stop`.
    async fn drained(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(self.drain).await; // the deadline of the drain
    }

    /// Goes on at once while there is more than a batch.
    async fn sweep_once(&self, ledger: &GroupLedger) -> Result<(), String> {
        loop {
            let swept = self.sweep_batch(ledger).await;
            self.tell_of_held(ledger).await?;
            if swept? == Swept::Everything {
                return Ok(());
            }
        }
    }

    async fn try_due(&self, ledger: &GroupLedger) -> Result<Swept, String> {
        let due = counted(ledger.due_held(BATCH)).await?;
        let of_due = Swept::of(&due);
        for held in due {
            if self.stop.is_cancelled() {
                return Ok(Swept::Everything);
            }
            let key = held.key.clone();
            if self.retry_held(ledger, held).await? == Progress::Applied {
                self.release(&key).await;
            }
        }
        Ok(of_due)
    }

    async fn sweep_batch(&self, ledger: &GroupLedger) -> Result<Swept, String> {
        let of_due = self.try_due(ledger).await?;
        let orphans = counted(ledger.orphans(PATIENCE, BATCH)).await?;
        let of_orphans = Swept::of(&orphans);
        for held in orphans {
            if self.stop.is_cancelled() {
                return Ok(Swept::Everything);
            }
            if self.predecessor_can_come(&held).await? {
                self.leave(ledger, &held, UNDECIDED).await;
            } else {
                self.decide_orphan(ledger, &held).await?;
            }
        }
        Ok(of_due.max(of_orphans))
    }

    /// Says in the process's health that events of the group wait for longer than a predecessor should take.
    async fn tell_of_held(&self, ledger: &GroupLedger) -> Result<(), String> {
        let HeldEvents { count, oldest } = counted(ledger.database.held_events(self.group)).await?;
        let part = format!("held events of {}", self.group);
        let patience = Timestamp::now() - PATIENCE;
        match oldest {
            Some(oldest) if oldest < patience => {
                let message = format!(
                    "at least {} wait for what comes before them, the oldest since {oldest:.0}; is it among the dead letters?",
                    magnitude(count)
                );
                self.client
                    .health()
                    .report(&part, Severity::Warning, message);
            }
            Some(_) | None => self.client.health().clear(&part),
        }
        Ok(())
    }

    /// Removes what is not needed any more: nothing, as long as a stream of the group may be replayed from its beginning.
    async fn clean(&self, ledger: &GroupLedger) -> Result<(), String> {
        let mut longest = MAX_AGE;
        for stream in &self.streams {
            let info = StreamInfo::read(&self.client, stream.as_str())
                .await
                .map_err(|err| Chain(&err).to_string())?;
            match info.map(|info| info.max_age()) {
                Some(Some(max_age)) => longest = longest.max(max_age),
                Some(None) => return Ok(()),
                None => (),
            }
        }
        counted(ledger.clean(longest)).await
    }

    /// Whether an earlier version may still be on its way: not settled yet wherever it stands in
    /// the stream, redriven, or among the dead letters.
    async fn predecessor_can_come(&self, held: &HeldEvent) -> Result<bool, String> {
        let api = |err| Chain(&err).to_string();
        let info = ConsumerInfo::read(&self.client, self.stream.as_str(), self.group.as_str());
        let Some(info) = info.await.map_err(api)? else {
            return Ok(true);
        };
        let floor = info.ack_floor.stream_seq;
        if floor < held.position.sequence {
            return Ok(true);
        }
        // From the stream to the letters it goes by a death, from the letters to the stream by a redrive.
        Ok(self.is_in_stream(held, floor).await?
            || self.is_dead(held).await?
            || self.is_in_stream(held, floor).await?)
    }

    /// Whether anything of the key, or sent again of it, stands in the stream after `floor`.
    async fn is_in_stream(&self, held: &HeldEvent, floor: u64) -> Result<bool, String> {
        for subject in [
            format!("*.{}", held.key),
            dead_letter::redrive_subject(self.group.as_str(), "*", held.key.as_str()),
        ] {
            let stream = self.stream.as_str();
            let next = RawMessage::next(&self.client, stream, floor + 1, &subject);
            let next = next.await.map_err(|err| Chain(&err).to_string())?;
            if next.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether anything of the key is among the dead letters, or may be.
    async fn is_dead(&self, held: &HeldEvent) -> Result<bool, String> {
        // What the server gave up on is not looked into: whatever its key, somebody has to see to it first.
        for letters in [
            dead_letter::subject(self.group.as_str(), "*", held.key.as_str()),
            given_up(self.stream.as_str(), self.group.as_str()),
        ] {
            let stream: serde_json::Value = self
                .client
                .api(
                    &format!("STREAM.INFO.{DEAD_LETTERS}"),
                    &json!({ "subjects_filter": letters }),
                )
                .await
                .map_err(|err| Chain(&err).to_string())?;
            let subjects = stream.pointer("/state/subjects");
            if subjects.is_some_and(|subjects| !subjects.is_null()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The predecessor never comes: a whole state is a new start, a change alone is dead.
    async fn decide_orphan(&self, ledger: &GroupLedger, held: &HeldEvent) -> Result<(), String> {
        let carries = self
            .handlers
            .get(held.channel.as_str())
            .map(|handler| handler.carries());
        match carries {
            Some(Carries::WholeState) => {
                if counted(ledger.rebase(held)).await? {
                    tracing::error!(key = %held.key, version = %held.version, "predecessor is lost; this version is the new start");
                }
                self.release(&held.key).await;
            }
            // It may have come, and be settled, since the guard was read.
            Some(Carries::Change) => {
                if counted(ledger.still_waits(held)).await? {
                    let reason = "predecessor missing".to_owned();
                    self.bury_held(ledger, held, Kind::PredecessorMissing, reason, 0)
                        .await;
                }
            }
            None => {
                self.leave(ledger, held, PATIENCE).await;
            }
        }
        Ok(())
    }
}

/// The power of ten that is in a number: what is said of a number that grows is said ten times more rarely.
fn magnitude(count: u64) -> u64 {
    count
        .checked_ilog10()
        .map_or(0, |digits| 10_u64.pow(digits))
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;
