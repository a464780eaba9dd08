use std::num::NonZeroU32;
use std::time::Duration;

/// How often the server itself delivers a message: a backstop, far above what any policy uses up.
pub(crate) const MAX_DELIVER: u32 = 1000;

/// How often a failed event is tried again, and after what time. Pure: an attempt in, a delay out.
///
/// The default is 10 attempts, the first wait 200 ms, the longest 60 s: about 100 s in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    max_attempts: NonZeroU32,
    base: Duration,
    cap: Duration,
}

impl RetryPolicy {
    /// At most `max_attempts` attempts, of which the server's own limit allows 500; a wait of
    /// `base` after the first, doubled after each, at most `cap`.
    #[must_use]
    pub fn new(max_attempts: NonZeroU32, base: Duration, cap: Duration) -> Self {
        Self {
            max_attempts: max_attempts.min(const { NonZeroU32::new(MAX_DELIVER / 2).unwrap() }),
            base,
            cap,
        }
    }

    /// How often an event is tried, the first attempt included.
    #[must_use]
    pub fn max_attempts(&self) -> NonZeroU32 {
        self.max_attempts
    }

    /// How long to wait after failed attempt number `attempt`, the first being 1.
    ///
    /// Starts at `base`, doubles, and stops growing at `cap`. `None` means the limit is used up and
    /// the message is dead. The wait is exact; the runner adds jitter.
    ///
    /// ```
    /// # use {common::RetryPolicy, std::{num::NonZeroU32, time::Duration}};
    /// # let three = NonZeroU32::new(3).unwrap();
    /// let policy = RetryPolicy::new(three, Duration::from_millis(200), Duration::from_secs(5));
    /// assert_eq!(policy.delay_after(2), Some(Duration::from_millis(400)));
    /// assert_eq!(policy.delay_after(3), None);
    /// ```
    #[must_use]
    pub fn delay_after(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.max_attempts.get() {
            return None;
        }
        let doublings = attempt.saturating_sub(1);
        let delay = 2_u32
            .checked_pow(doublings)
            .and_then(|factor| self.base.checked_mul(factor))
            .unwrap_or(self.cap);
        Some(delay.min(self.cap))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new(
            const { NonZeroU32::new(10).unwrap() },
            Duration::from_millis(200),
            Duration::from_mins(1),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn delay_grows_to_the_cap_and_ends_with_the_attempts(
            max in 1..2000_u32,
            base in 0..10_000_u64,
            cap in 0..100_000_u64,
            attempt in 1..3000_u32,
        ) {
            let (base, cap) = (Duration::from_millis(base), Duration::from_millis(cap));
            let policy = RetryPolicy::new(NonZeroU32::new(max).unwrap(), base, cap);
            let max = max.min(MAX_DELIVER / 2);
            match policy.delay_after(attempt) {
                None => prop_assert!(attempt >= max),
                Some(delay) => {
                    prop_assert!(attempt < max);
                    prop_assert!(delay <= cap);
                    prop_assert!(delay >= base.min(cap));
                    if let Some(next) = policy.delay_after(attempt + 1) {
                        prop_assert!(next >= delay);
                    }
                }
            }
        }
    }
}
