use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take that has no time of its own: far longer than it does, for machines differ.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// How long until the next look.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until there is something to see: `Ok` ends it, `Err` says what was seen instead.
///
/// # Panics
///
/// After 30 seconds, with what was waited for and what was seen last.
pub async fn until<T, S: Debug>(what: &str, look: impl AsyncFnMut() -> Result<T, S>) -> T {
    until_within(DEADLINE, what, look).await
}

/// As [`until`], with a deadline of one's own.
///
/// # Panics
///
/// At the deadline, with what was waited for and what was seen last.
pub async fn until_within<T, S: Debug>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let started = Instant::now();
    loop {
        match look().await {
            Ok(seen) => return seen,
            Err(seen) => assert!(
                started.elapsed() < deadline,
                "waited {deadline:?} until {what}; seen instead: {seen:?}"
            ),
        }
        sleep(PAUSE).await; // What is looked at lies in other processes and files, and nobody tells of a change.
    }
}

/// Waits as long as something that must not happen would need to happen.
pub async fn long_enough_for(_what_must_not_happen: &str, time: Duration) {
    sleep(time).await; // That nothing happens shows in nothing but time.
}
