use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::JetStreamPublisher;
use tokio_util::task::AbortOnDropHandle;

use crate::notes::Written;
use crate::until;

/// How many events are on their way at once.
const AT_ONCE: usize = 10;

/// Publishes notes while the test does something else.
#[derive(Debug)]
pub struct Writing {
    so_far: Arc<AtomicUsize>,
    publishing: AbortOnDropHandle<()>,
}

impl Writing {
    /// Begins. What goes wrong shows in [`done`](Self::done).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[must_use]
    pub fn begin(publisher: JetStreamPublisher, events: Vec<Written>) -> Self {
        let so_far = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&so_far);
        let publishing = tokio::spawn(async move {
            for some in events.chunks(AT_ONCE) {
                for result in publisher.publish_all(some).await {
                    result.unwrap();
                }
                counted.fetch_add(some.len(), Ordering::Relaxed);
            }
        });
        let publishing = AbortOnDropHandle::new(publishing);
        Self { so_far, publishing }
    }

    /// Waits until so many are published.
    ///
    /// # Panics
    ///
    /// If they are not.
    pub async fn until(&self, events: usize) {
        until("there is some load", async || {
            let published = self.so_far.load(Ordering::Relaxed);
            if published >= events {
                Ok(())
            } else {
                Err(published)
            }
        })
        .await;
    }

    /// Waits until all are published.
    ///
    /// # Panics
    ///
    /// If one of them was not.
    pub async fn done(self) {
        self.publishing.await.unwrap();
    }
}
