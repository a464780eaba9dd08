use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use common::{Client, Listener, Provisioning, RetryPolicy, RunError, Runner};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::nats::TestNats;
use crate::until;

/// Creates what is missing, once.
pub const CREATE: Provisioning = Provisioning::Create {
    replicas: NonZeroUsize::MIN,
};

/// Longer than a replica may take to drain.
const END_WITHIN: Duration = Duration::from_mins(1);

/// So many attempts, 10 ms after the first, doubled after each, at most 100 ms: nobody has time to wait in a test.
///
/// # Panics
///
/// If there is no attempt at all.
#[must_use]
pub fn attempts(attempts: u32) -> RetryPolicy {
    let attempts = NonZeroU32::new(attempts).unwrap();
    RetryPolicy::new(
        attempts,
        Duration::from_millis(10),
        Duration::from_millis(100),
    )
}

/// A process that listens, as a task of the test with a connection of its own.
#[derive(Debug)]
pub struct Replica {
    client: Client,
    stop: CancellationToken,
    running: AbortOnDropHandle<Result<(), RunError>>,
}

impl Replica {
    /// Runs the listeners that `set_up` adds. What is missing on the server is created, and each event has three
    /// attempts in quick succession, unless `set_up` says otherwise.
    ///
    /// Returns when it is ready.
    pub async fn start(nats: &TestNats, set_up: impl FnOnce(Runner) -> Runner) -> Self {
        let replica = Self::begin(&nats.connect("replica").await, set_up);
        replica.until_ready().await;
        replica
    }

    /// As [`start`](Self::start) with one listener.
    pub async fn of(nats: &TestNats, listener: &(impl Listener + Clone)) -> Self {
        Self::start(nats, |runner| runner.listen(listener.clone())).await
    }

    /// As [`start`](Self::start) on a given connection, without waiting.
    pub fn begin(client: &Client, set_up: impl FnOnce(Runner) -> Runner) -> Self {
        let runner = Runner::new(client).provisioning(CREATE).retry(attempts(3));
        let runner = set_up(runner);
        let stop = CancellationToken::new();
        let running = tokio::spawn(runner.run(stop.clone().cancelled_owned()));
        Self {
            client: client.clone(),
            stop,
            running: AbortOnDropHandle::new(running),
        }
    }

    /// Its connection, and its health.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What keeps it from being ready, as text.
    #[must_use]
    pub fn troubles(&self) -> String {
        let troubles = self.client.health().troubles();
        let lines: Vec<_> = troubles
            .iter()
            .map(|(part, trouble)| format!("{part}: {}", trouble.message))
            .collect();
        lines.join("; ")
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it never is.
    pub async fn until_ready(&self) {
        until("the replica is ready", async || {
            assert!(!self.running.is_finished(), "the replica ended");
            if self.client.health().is_ready() {
                Ok(())
            } else {
                Err(self.troubles())
            }
        })
        .await;
    }

    /// Waits until it is not ready and says this among the reasons.
    ///
    /// # Panics
    ///
    /// If it never is.
    pub async fn until_not_ready(&self, because: &str) {
        until(
            &format!("the replica is not ready for `{because}`"),
            async || {
                let troubles = self.troubles();
                if !self.client.health().is_ready() && troubles.contains(because) {
                    Ok(())
                } else {
                    Err(troubles)
                }
            },
        )
        .await;
    }

    /// Tells it to stop, without waiting.
    pub fn tell_to_stop(&self) {
        self.stop.cancel();
    }

    /// Stops it in order, as SIGTERM would.
    ///
    /// # Panics
    ///
    /// If it did not run well.
    pub async fn stop(self) {
        self.stop.cancel();
        self.end().await.unwrap();
    }

    /// How it ends by itself.
    ///
    /// # Errors
    ///
    /// What the runner says.
    ///
    /// # Panics
    ///
    /// If it panics, or does not end.
    pub async fn end(self) -> Result<(), RunError> {
        let ended = timeout(END_WITHIN, self.running).await;
        let ended = ended.expect("the replica runs on").unwrap();
        self.client.close().await;
        ended
    }

    /// Lets it vanish in the middle of what it does: nothing is finished, and nobody is told.
    pub fn vanish(self) {
        self.running.abort();
    }
}
