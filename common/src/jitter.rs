use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A random time below `limit`: enough to keep replicas from acting as one, and no dependency.
pub(crate) fn jitter(limit: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let fraction =
        f64::from(u32::try_from(random >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0);
    limit.mul_f64(fraction)
}
