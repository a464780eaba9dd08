//! Which events are sent next: a pure account of what is in memory, what is blocked and what pauses.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::super::outbox::{Lane, Waiting};
use super::Pace;
use crate::health::Severity;

/// How many events are in memory at once.
const WINDOW: usize = 512;
/// How many bytes they may have before no more are read.
const WINDOW_BYTES: usize = 32 * 1024 * 1024;
/// How many events of one lane: a long lane leaves room for others.
const LANE_DEPTH: usize = 64;
/// How many blocked lanes are tried at once.
const PROBES: usize = 32;

#[derive(Debug)]
pub(super) struct Lanes {
    pace: Pace,
    queues: HashMap<Lane, Queue>,
    /// Lanes of which an event can be sent, the longest waiting first.
    ready: VecDeque<Lane>,
    /// Every position in memory: waiting, on its way, or acknowledged and not yet removed.
    loaded: BTreeSet<i64>,
    bytes: usize,
    blocked: HashMap<Lane, Blocked>,
    paused: HashMap<String, Pause>,
    /// Lanes that have more events than fit: at most [`WINDOW`] / [`LANE_DEPTH`].
    crowded: Vec<Lane>,
    /// Whether a crowded lane has room again.
    refill: bool,
}

/// The events of one lane that are in memory.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether one is on its way: the next waits for it.
    busy: bool,
}

/// A lane whose first event the server refuses for good.
#[derive(Debug)]
struct Blocked {
    retry_at: Instant,
    /// Whether its first event is on its way again.
    probed: bool,
    reason: String,
}

/// A stream that took nothing.
#[derive(Debug)]
struct Pause {
    until: Instant,
    lasts: Duration,
    /// Whether it is over, and the rows it kept back are to be read.
    over: bool,
    reason: String,
}

/// Where an event that was read belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    In,
    /// Its lane is blocked: it is to be set aside.
    Parked,
    /// Its lane has enough in memory: it is read again later.
    Left,
}

impl Lanes {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            queues: HashMap::new(),
            ready: VecDeque::new(),
            loaded: BTreeSet::new(),
            bytes: 0,
            blocked: HashMap::new(),
            paused: HashMap::new(),
            crowded: Vec::new(),
            refill: false,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.loaded.len() < WINDOW && self.bytes < WINDOW_BYTES
    }

    /// The positions in memory behind `after`.
    pub(super) fn loaded_after(&self, after: i64) -> Vec<i64> {
        self.loaded.range(after + 1..).copied().collect()
    }

    /// The streams that are left alone now.
    pub(super) fn paused(&self, now: Instant) -> Vec<&str> {
        self.paused
            .iter()
            .filter(|(_, pause)| pause.until > now)
            .map(|(stream, _)| stream.as_str())
            .collect()
    }

    /// The outbox is read from its beginning.
    pub(super) fn begin_reading(&mut self) {
        self.crowded.clear();
        self.refill = false;
    }

    /// Lanes of which no more is to be read.
    pub(super) fn crowded(&self) -> &[Lane] {
        &self.crowded
    }

    /// Takes an event that was read.
    pub(super) fn take_in(&mut self, event: Waiting) -> Taken {
        if self.blocked.contains_key(&event.lane) {
            return Taken::Parked;
        }
        if self.crowded.contains(&event.lane) {
            return Taken::Left;
        }
        let queue = self.queues.entry(event.lane.clone()).or_default();
        if queue.waiting.len() >= LANE_DEPTH {
            self.crowded.push(event.lane);
            return Taken::Left;
        }
        if !queue.busy && queue.waiting.is_empty() {
            self.ready.push_back(event.lane.clone());
        }
        self.loaded.insert(event.position);
        self.bytes += event.size();
        queue.waiting.push_back(event);
        Taken::In
    }

    /// Whether rows that were left have their turn now: a pause is over, or a crowded lane has room.
    pub(super) fn wants_reading(&mut self, now: Instant) -> bool {
        let mut wants = std::mem::take(&mut self.refill);
        for pause in self.paused.values_mut() {
            if pause.until <= now && !pause.over {
                pause.over = true;
                wants = true;
            }
        }
        wants
    }

    /// The event that is sent next, if there is one.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        while let Some(lane) = self.ready.pop_front() {
            if let Some(queue) = self.queues.get_mut(&lane)
                && !queue.busy
                && let Some(event) = queue.waiting.pop_front()
            {
                queue.busy = true;
                return Some(event);
            }
        }
        None
    }

    /// Whether an event could be sent.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The event is stored: its successor is next. Its position stays in memory until it is removed.
    pub(super) fn acknowledged(&mut self, event: &Waiting) {
        self.bytes = self.bytes.saturating_sub(event.size());
        if let Some(pause) = self.paused.remove(&event.lane.stream) {
            self.refill |= !pause.over;
        }
        let Some(queue) = self.queues.get_mut(&event.lane) else {
            return;
        };
        queue.busy = false;
        self.refill |= queue.waiting.len() <= LANE_DEPTH / 2 && self.crowded.contains(&event.lane);
        if queue.waiting.is_empty() {
            self.queues.remove(&event.lane);
        } else {
            self.ready.push_back(event.lane.clone());
        }
    }

    /// The rows are removed from the outbox.
    pub(super) fn removed(&mut self, positions: &[i64]) {
        for position in positions {
            self.loaded.remove(position);
        }
    }

    /// The server refuses the event for good: its lane is blocked. Yields the positions to set aside.
    pub(super) fn refused(&mut self, event: &Waiting, reason: String, now: Instant) -> Vec<i64> {
        let mut park = vec![event.position];
        self.unload(event);
        if let Some(queue) = self.queues.remove(&event.lane) {
            for behind in queue.waiting {
                park.push(behind.position);
                self.unload(&behind);
            }
        }
        let blocked = Blocked {
            retry_at: now + self.pace.blocked,
            probed: false,
            reason,
        };
        self.blocked.insert(event.lane.clone(), blocked);
        park
    }

    /// The server does not take the event now: its stream is left alone for a while, and what waits
    /// for it makes room for other streams. The rows are read again.
    pub(super) fn interrupted(&mut self, event: &Waiting, reason: String, now: Instant) {
        self.unload(event);
        if let Some(queue) = self.queues.get_mut(&event.lane) {
            queue.busy = false;
        }
        if let Some(blocked) = self.blocked.get_mut(&event.lane) {
            blocked.probed = false;
            blocked.retry_at = now + self.pace.blocked;
        }
        let stream = &event.lane.stream;
        let unloaded: Vec<_> = self
            .queues
            .iter_mut()
            .filter(|(lane, _)| lane.stream == *stream)
            .flat_map(|(_, queue)| queue.waiting.drain(..))
            .collect();
        for event in &unloaded {
            self.unload(event);
        }
        self.queues
            .retain(|lane, queue| queue.busy || lane.stream != *stream);
        self.ready.retain(|lane| lane.stream != *stream);
        match self.paused.get_mut(stream) {
            // One of many that were on their way together.
            Some(pause) if pause.until > now => (),
            Some(pause) => {
                pause.lasts = (pause.lasts * 2).min(self.pace.longest_pause);
                pause.until = now + pause.lasts;
                pause.over = false;
                pause.reason = reason;
            }
            None => {
                let pause = Pause {
                    until: now + self.pace.pause,
                    lasts: self.pace.pause,
                    over: false,
                    reason,
                };
                self.paused.insert(stream.clone(), pause);
            }
        }
    }

    /// Blocked lanes whose first event should be tried again.
    pub(super) fn to_probe(&self, now: Instant) -> Vec<Lane> {
        let room = PROBES.saturating_sub(self.probes());
        self.blocked
            .iter()
            .filter(|(lane, blocked)| {
                let paused = self.paused.get(&lane.stream);
                !blocked.probed
                    && blocked.retry_at <= now
                    && paused.is_none_or(|pause| pause.until <= now)
            })
            .map(|(lane, _)| lane.clone())
            .take(room)
            .collect()
    }

    /// How many first events of blocked lanes are on their way.
    fn probes(&self) -> usize {
        let probed = self.blocked.values().filter(|blocked| blocked.probed);
        probed.count()
    }

    /// The first event of a blocked lane is on its way again.
    pub(super) fn probed(&mut self, event: &Waiting) {
        if let Some(blocked) = self.blocked.get_mut(&event.lane) {
            blocked.probed = true;
        }
        self.loaded.insert(event.position);
        self.bytes += event.size();
    }

    pub(super) fn is_blocked(&self, lane: &Lane) -> bool {
        self.blocked.contains_key(lane)
    }

    /// The lane flows again. Others of its stream may as well, and are tried without further wait.
    pub(super) fn unblocked(&mut self, lane: &Lane, now: Instant) {
        self.blocked.remove(lane);
        for (other, blocked) in &mut self.blocked {
            if other.stream == lane.stream {
                blocked.retry_at = now;
            }
        }
    }

    /// When a pause is over or a blocked lane is due, whichever is first.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let ends = self.paused.values().map(|pause| pause.until);
        let may_probe = self.probes() < PROBES;
        let retries = self
            .blocked
            .iter()
            .filter(|(_, blocked)| may_probe && !blocked.probed)
            .map(|(lane, blocked)| {
                let paused = self.paused.get(&lane.stream);
                paused.map_or(blocked.retry_at, |pause| pause.until.max(blocked.retry_at))
            });
        ends.filter(|end| *end > now).chain(retries).min()
    }

    /// What a person should know.
    pub(super) fn trouble(&self) -> Option<(Severity, String)> {
        if let Some(blocked) = self.blocked.values().min_by_key(|blocked| &blocked.reason) {
            let keys = self.blocked.len();
            let message = format!("blocked for {keys} keys: {}", blocked.reason);
            return Some((Severity::NotReady, message));
        }
        let pause = self.paused.values().min_by_key(|pause| &pause.reason)?;
        Some((Severity::Warning, format!("waiting: {}", pause.reason)))
    }

    fn unload(&mut self, event: &Waiting) {
        self.loaded.remove(&event.position);
        self.bytes = self.bytes.saturating_sub(event.size());
    }
}
