use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Which job may start: one at a time of each key, in order of arrival, and `limit` in all.
#[derive(Debug)]
pub(super) struct Lanes<K, J> {
    /// A key is here while a job of it is ready or running; what follows waits behind it.
    waiting: HashMap<K, VecDeque<J>>,
    ready: VecDeque<(K, J)>,
    running: usize,
    limit: usize,
}

impl<K: Clone + Eq + Hash, J> Lanes<K, J> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            waiting: HashMap::new(),
            ready: VecDeque::new(),
            running: 0,
            limit,
        }
    }

    pub(super) fn push(&mut self, key: K, job: J) {
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.push_back(job);
        } else {
            self.waiting.insert(key.clone(), VecDeque::new());
            self.ready.push_back((key, job));
        }
    }

    /// A job that may start now. [`done`](Self::done) is owed for its key.
    pub(super) fn start(&mut self) -> Option<(K, J)> {
        if self.running == self.limit {
            return None;
        }
        let started = self.ready.pop_front()?;
        self.running += 1;
        Some(started)
    }

    /// The started job of this key is over.
    pub(super) fn done(&mut self, key: &K) {
        self.running -= 1;
        let Some(waiting) = self.waiting.get_mut(key) else {
            return;
        };
        match waiting.pop_front() {
            Some(job) => self.ready.push_back((key.clone(), job)),
            None => {
                self.waiting.remove(key);
            }
        }
    }

    /// Takes out every job that has not started.
    pub(super) fn take_unstarted(&mut self) -> Vec<J> {
        let ready = self.ready.drain(..).map(|(_, job)| job);
        ready
            .chain(
                self.waiting
                    .values_mut()
                    .flat_map(|waiting| waiting.drain(..)),
            )
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_job_of_a_key_runs_at_a_time() {
        let mut lanes = Lanes::new(8);
        for job in [("a", 1), ("a", 2), ("b", 3)] {
            lanes.push(job.0, job.1);
        }
        assert_eq!(lanes.start(), Some(("a", 1)));
        assert_eq!(lanes.start(), Some(("b", 3)));
        assert_eq!(lanes.start(), None);
        lanes.done(&"a");
        assert_eq!(lanes.start(), Some(("a", 2)));
    }

    proptest! {
        #[test]
        fn every_job_runs_once_in_order_of_its_key_and_within_the_limit(
            keys in prop::collection::vec(0..4_u8, 0..60),
            finish in prop::collection::vec(any::<prop::sample::Index>(), 200),
            limit in 1..5_usize,
        ) {
            let mut lanes = Lanes::new(limit);
            let mut running: Vec<u8> = Vec::new();
            let mut last = HashMap::new();
            let mut ran = 0;
            let mut jobs = keys.iter().copied().enumerate();
            for pick in finish {
                if let Some((job, key)) = jobs.next() {
                    lanes.push(key, job);
                }
                while let Some((key, job)) = lanes.start() {
                    prop_assert!(!running.contains(&key), "two of a key at once");
                    prop_assert!(last.insert(key, job).is_none_or(|before| before < job));
                    running.push(key);
                    ran += 1;
                }
                prop_assert!(running.len() <= limit);
                if !running.is_empty() {
                    let key = running.swap_remove(pick.index(running.len()));
                    lanes.done(&key);
                }
            }
            prop_assert_eq!(ran, keys.len());
            prop_assert!(lanes.waiting.is_empty() || !running.is_empty());
        }

        #[test]
        fn nothing_is_forgotten_when_unstarted_jobs_are_taken(
            keys in prop::collection::vec(0..4_u8, 0..60),
            started in 0..10_usize,
        ) {
            let mut lanes = Lanes::new(10);
            for (job, key) in keys.iter().enumerate() {
                lanes.push(*key, job);
            }
            let mut all: Vec<_> = (0..started).filter_map(|_| lanes.start()).map(|(_, job)| job).collect();
            all.extend(lanes.take_unstarted());
            all.sort_unstable();
            prop_assert_eq!(all, (0..keys.len()).collect::<Vec<_>>());
        }
    }
}
