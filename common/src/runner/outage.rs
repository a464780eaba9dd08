use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::health::{Health, Severity};
use crate::jitter::jitter;

/// The longest wait between two tries of what is unavailable.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How many messages of a group wait for something that every event needs. While there are any,
/// nothing more is fetched or started.
#[derive(Debug)]
pub(super) struct Outages {
    waiting: watch::Sender<usize>,
    part: String,
    health: Health,
    stop: CancellationToken,
}

impl Outages {
    pub(super) fn new(part: String, health: &Health, stop: CancellationToken) -> Self {
        Self {
            waiting: watch::Sender::new(0),
            part,
            health: health.clone(),
            stop,
        }
    }

    /// Whether something is unavailable, and when that changes.
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    /// Tries until it is available. `None`: it was time to stop before that.
    ///
    /// What `attempt` returns as `Err` is the reason, for a person.
    pub(super) async fn until_available<T, F>(&self, mut attempt: impl FnMut() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, String>>,
    {
        let mut reason = match attempt().await {
            Ok(value) => return Some(value),
            Err(reason) => reason,
        };
        let _outage = Outage::begin(self);
        let mut wait = Duration::from_millis(100);
        loop {
            self.health.report(&self.part, Severity::NotReady, reason);
            tokio::select! {
                () = tokio::time::sleep(wait + jitter(wait / 2)) => (), // back-off between probes
                () = self.stop.cancelled() => return None,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
            match attempt().await {
                Ok(value) => return Some(value),
                Err(again) => reason = again,
            }
        }
    }
}

/// One message that waits.
struct Outage<'o>(&'o Outages);

impl<'o> Outage<'o> {
    fn begin(outages: &'o Outages) -> Self {
        outages.waiting.send_modify(|waiting| *waiting += 1);
        Self(outages)
    }
}

impl Drop for Outage<'_> {
    fn drop(&mut self) {
        let mut last = false;
        self.0.waiting.send_modify(|waiting| {
            *waiting -= 1;
            last = *waiting == 0;
        });
        if last {
            self.0.health.clear(&self.0.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn outages(stop: &CancellationToken) -> Outages {
        Outages::new("database".to_owned(), &Health::new(), stop.clone())
    }

    #[tokio::test]
    async fn outage_is_waited_out_and_shows_in_readiness() {
        let stop = CancellationToken::new();
        let outages = outages(&stop);
        let tries = AtomicU32::new(0);
        let done = outages
            .until_available(|| async {
                if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                    return Err("locked".to_owned());
                }
                assert!(!outages.health.is_ready());
                assert_eq!(*outages.watch().borrow(), 1);
                Ok(7)
            })
            .await;
        assert_eq!(done, Some(7));
        assert!(outages.health.is_ready());
        assert_eq!(*outages.watch().borrow(), 0);
    }

    #[tokio::test]
    async fn shutdown_ends_the_wait() {
        let stop = CancellationToken::new();
        let outages = outages(&stop);
        stop.cancel();
        let done: Option<()> = outages
            .until_available(|| async { Err("locked".to_owned()) })
            .await;
        assert_eq!(done, None);
    }
}
