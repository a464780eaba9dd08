use std::time::Duration;

use futures::future::select_all;
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::AbortOnDropHandle;

use crate::error::{BoxError, Chain};

/// Completes when a part is to stop.
pub type Stop = WaitForCancellationFutureOwned;

/// How long a part may take to stop. Each has a shorter deadline of its own; this one is for a part that hangs.
const STOP_DEADLINE: Duration = Duration::from_mins(1);

/// The parts of a process that run side by side and stop one after the other, in the order in
/// which they were started.
///
/// If one of them ends before it is told to, the others are stopped and its error is the process's.
/// Dropped, it takes its parts with it, unfinished.
#[derive(Debug, Default)]
#[must_use = "parts are stopped when this is dropped"]
pub struct Parts {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    name: &'static str,
    stop: CancellationToken,
    task: AbortOnDropHandle<Result<(), BoxError>>,
}

impl Parts {
    /// A process without parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a part. `run` is given what completes when the part is to stop, and returns nothing
    /// or a [`Result`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start<F>(mut self, name: &'static str, run: impl FnOnce(Stop) -> F) -> Self
    where
        F: Future<Output: Ending> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let running = run(stop.clone().cancelled_owned());
        let task = tokio::spawn(async { running.await.into_result() });
        self.parts.push(Part {
            name,
            stop,
            task: AbortOnDropHandle::new(task),
        });
        self
    }

    /// Waits for `shutdown` or for a part that ends by itself, and stops every part, the first first.
    ///
    /// # Errors
    ///
    /// [`PartError`] of the first part that failed. Those of others are logged.
    ///
    /// # Panics
    ///
    /// If there are no parts.
    pub async fn run(mut self, shutdown: impl Future<Output = ()> + Send) -> Result<(), PartError> {
        let ended = select_all(self.parts.iter_mut().map(|part| &mut part.task));
        let first = tokio::select! {
            () = shutdown => None,
            (result, index, _) = ended => Some((self.parts.remove(index), result)),
        };

        let mut failure = None;
        if let Some((part, result)) = first {
            failure = Some(
                outcome(part.name, result)
                    .err()
                    .unwrap_or(PartError::Ended { part: part.name }),
            );
        }
        for part in self.parts {
            tracing::debug!(part = part.name, "stopping");
            if let Err(err) = stop(part).await {
                if failure.is_some() {
                    tracing::error!(error = %Chain(&err), "another part failed");
                } else {
                    failure = Some(err);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

/// How a part may end: with nothing, if it cannot fail, or with a [`Result`].
pub trait Ending {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), BoxError>;
}

impl Ending for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> Ending for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

async fn stop(part: Part) -> Result<(), PartError> {
    part.stop.cancel();
    match timeout(STOP_DEADLINE, part.task).await {
        Ok(result) => outcome(part.name, result),
        Err(_) => Err(PartError::Hung { part: part.name }),
    }
}

fn outcome(
    part: &'static str,
    result: Result<Result<(), BoxError>, JoinError>,
) -> Result<(), PartError> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(PartError::Failed { part, source }),
        Err(source) => Err(PartError::Panicked { part, source }),
    }
}

/// Why a process did not run until it was told to stop, or did not stop in order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// A part failed.
    #[error("{part} failed")]
    Failed {
        /// Which part.
        part: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A part panicked. That is a bug.
    #[error("{part} panicked")]
    Panicked {
        /// Which part.
        part: &'static str,
        /// What it said.
        #[source]
        source: JoinError,
    },
    /// A part ended before it was told to.
    #[error("{part} ended by itself")]
    Ended {
        /// Which part.
        part: &'static str,
    },
    /// A part did not stop, and was given up.
    #[error("{part} did not stop")]
    Hung {
        /// Which part.
        part: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A part that writes its name down when it has stopped.
    fn obedient(
        name: &'static str,
        stopped: &Arc<Mutex<Vec<&'static str>>>,
    ) -> impl FnOnce(Stop) -> futures::future::BoxFuture<'static, ()> {
        let stopped = Arc::clone(stopped);
        move |stop| {
            Box::pin(async move {
                stop.await;
                stopped.lock().unwrap().push(name);
            })
        }
    }

    #[tokio::test]
    async fn parts_stop_in_the_order_of_their_start() {
        let stopped = Arc::default();

        Parts::new()
            .start("http", obedient("http", &stopped))
            .start("runner", obedient("runner", &stopped))
            .start("relay", obedient("relay", &stopped))
            .run(ready(()))
            .await
            .unwrap();

        assert_eq!(*stopped.lock().unwrap(), ["http", "runner", "relay"]);
    }

    #[tokio::test]
    async fn part_that_fails_stops_the_others() {
        let stopped = Arc::default();

        let err = Parts::new()
            .start("http", obedient("http", &stopped))
            .start("runner", |_| async { Err("no stream") })
            .run(pending())
            .await
            .unwrap_err();

        assert_eq!(Chain(&err).to_string(), "runner failed: no stream");
        assert_eq!(*stopped.lock().unwrap(), ["http"]);
    }

    #[tokio::test]
    async fn part_that_ends_or_panics_is_an_error() {
        let ended = Parts::new()
            .start("relay", |_| ready(()))
            .run(pending())
            .await;
        assert!(matches!(ended, Err(PartError::Ended { part: "relay" })));

        let panicked = Parts::new()
            .start("relay", |_| async { panic!("no") as () })
            .run(pending())
            .await;
        assert!(matches!(panicked, Err(PartError::Panicked { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn part_that_hangs_is_given_up() {
        let hung = Parts::new()
            .start("relay", |_| pending::<()>())
            .run(ready(()))
            .await;
        assert!(matches!(hung, Err(PartError::Hung { part: "relay" })));
    }
}
