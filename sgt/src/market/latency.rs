use std::time::Duration;

/// How long something took, of many times.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    sorted: Vec<Duration>,
}

impl Latencies {
    /// Sorts what was measured.
    pub(crate) fn of(mut measured: Vec<Duration>) -> Self {
        measured.sort_unstable();
        Self { sorted: measured }
    }

    /// How many were measured.
    pub(crate) fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The time that `percent` of a hundred did not exceed, by nearest rank: always one that was
    /// measured. `None` if nothing was.
    pub(crate) fn percentile(&self, percent: u8) -> Option<Duration> {
        let rank = (self.sorted.len() * usize::from(percent)).div_ceil(100);
        self.sorted.get(rank.saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(millis: &[u64], percent: u8, expected: Option<u64>) {
        let measured = millis.iter().copied().map(Duration::from_millis).collect();
        let expected = expected.map(Duration::from_millis);
        assert_eq!(
            Latencies::of(measured).percentile(percent),
            expected,
            "{millis:?}"
        );
    }

    #[test]
    fn percentile_is_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).rev().collect();
        check(&hundred, 50, Some(50));
        check(&hundred, 99, Some(99));
        check(&hundred, 100, Some(100));
        check(&hundred, 0, Some(1));
        check(&[5, 1], 50, Some(1));
        check(&[5, 1], 99, Some(5));
        check(&[7], 99, Some(7));
        check(&[], 50, None);
    }
}
