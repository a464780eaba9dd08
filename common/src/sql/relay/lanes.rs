//! Which events are sent next: a pure account of what is in memory, what is blocked and what pauses.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::super::outbox::{Lane, Page, Waiting};
use super::Pace;
use crate::health::Severity;

/// How many events are in memory at once.
const WINDOW: usize = 512;
/// How many bytes they may have before no more are read.
const WINDOW_BYTES: usize = 32 * 1024 * 1024;
/// How many events of one lane: a long lane leaves room for others.
const LANE_DEPTH: usize = 64;
/// How many rows are read at once.
pub(super) const PAGE: usize = 64;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    In,
    /// Its lane is blocked, and is to be set aside.
    Blocked(Lane),
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

    /// The streams that are left alone now.
    pub(super) fn paused(&self, now: Instant) -> Vec<String> {
        self.paused
            .iter()
            .filter(|(_, pause)| pause.until > now)
            .map(|(stream, _)| stream.clone())
            .collect()
    }

    /// The outbox is read from its beginning.
    pub(super) fn begin_reading(&mut self) {
        self.crowded.clear();
        self.refill = false;
    }

    /// What is read next: what is not in memory, of lanes that have room and of streams other than `paused`.
    pub(super) fn page<'p>(&'p self, paused: &'p [String]) -> Page<'p> {
        Page {
            limit: PAGE,
            but: self.loaded.iter().copied().collect(),
            but_lanes: &self.crowded,
            but_streams: paused,
        }
    }

    /// Takes an event that was read.
    pub(super) fn take_in(&mut self, event: Waiting) -> Taken {
        if self.blocked.contains_key(&event.lane) {
            return Taken::Blocked(event.lane);
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

    /// The server refuses the event for good: its lane is blocked, and is to be set aside.
    pub(super) fn refused(&mut self, event: &Waiting, reason: String, now: Instant) {
        self.unload(event);
        if let Some(queue) = self.queues.remove(&event.lane) {
            for behind in &queue.waiting {
                self.unload(behind);
            }
        }
        let blocked = Blocked {
            retry_at: now + self.pace.blocked,
            probed: false,
            reason,
        };
        self.blocked.insert(event.lane.clone(), blocked);
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
    pub(super) fn next_due(&self) -> Option<Instant> {
        // Also one that has ended since it was last looked at.
        let ends = self
            .paused
            .values()
            .filter(|pause| !pause.over)
            .map(|pause| pause.until);
        let may_probe = self.probes() < PROBES;
        let retries = self
            .blocked
            .iter()
            .filter(|(_, blocked)| may_probe && !blocked.probed)
            .map(|(lane, blocked)| {
                let paused = self.paused.get(&lane.stream);
                paused.map_or(blocked.retry_at, |pause| pause.until.max(blocked.retry_at))
            });
        ends.chain(retries).min()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(rows: &[(i64, &str, &str)]) -> Lanes {
        let mut lanes = Lanes::new(Pace::default());
        for (position, stream, key) in rows {
            lanes.take_in(Waiting::sample(*position, stream, key));
        }
        lanes
    }

    #[test]
    fn one_event_of_a_lane_is_on_its_way_at_a_time() {
        let mut lanes = lanes(&[
            (1, "A", "ann"),
            (2, "A", "ann"),
            (3, "A", "bob"),
            (4, "B", "ann"),
        ]);

        let first = lanes.next().unwrap();
        let others: Vec<_> = [lanes.next(), lanes.next()]
            .map(|event| event.unwrap().position)
            .into();
        assert_eq!((first.position, others), (1, vec![3, 4]));
        assert!(lanes.next().is_none());
        lanes.acknowledged(&first);
        assert_eq!(lanes.next().unwrap().position, 2);
        // Acknowledged, but not yet removed.
        assert_eq!(lanes.page(&[]).but, [1, 2, 3, 4]);
    }

    #[test]
    fn refused_event_sets_aside_what_follows_it() {
        let mut lanes = lanes(&[(1, "A", "ann"), (2, "A", "ann"), (3, "A", "bob")]);
        let now = Instant::now();
        let first = lanes.next().unwrap();

        lanes.refused(&first, "no".to_owned(), now);
        let behind = lanes.take_in(Waiting::sample(4, "A", "ann"));
        assert_eq!(behind, Taken::Blocked(first.lane.clone()));
        assert_eq!(lanes.page(&[]).but, [3]);
        assert_eq!(lanes.to_probe(now), []);
        let later = now + Pace::default().blocked;
        assert_eq!(lanes.to_probe(later), [first.lane]);
        assert_eq!(lanes.next_due(), Some(later));
    }

    #[test]
    fn pause_is_due_until_its_end_has_been_noticed() {
        let mut lanes = lanes(&[(1, "A", "ann"), (2, "A", "bob"), (3, "B", "ann")]);
        let now = Instant::now();
        let first = lanes.next().unwrap();
        lanes.interrupted(&first, "away".to_owned(), now);
        assert_eq!(lanes.paused(now), ["A"]);
        assert_eq!(lanes.next().unwrap().position, 3, "other streams flow");

        let end = now + Pace::default().pause;
        assert!(!lanes.wants_reading(now));
        // However late it is asked.
        assert_eq!(lanes.next_due(), Some(end));
        assert!(lanes.wants_reading(end));
        assert_eq!(lanes.next_due(), None);
        assert_eq!(lanes.paused(end), [""; 0]);

        lanes.take_in(Waiting::sample(1, "A", "ann"));
        let again = lanes.next().unwrap();
        lanes.interrupted(&again, "away".to_owned(), end);
        assert_eq!(lanes.next_due(), Some(end + Pace::default().pause * 2));
    }
}
