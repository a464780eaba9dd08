use crate::client::Client;
use crate::event::Event;
use crate::listener::Listener;
use crate::subject_set::Listed;
use crate::topology::Provisioning;

/// Runs the listeners of a process: fetches, hands over, settles, retries, dead-letters, drains.
#[derive(Debug)]
#[must_use = "a runner does nothing until `run` is awaited"]
pub struct Runner {
    client: Client,
    provisioning: Provisioning,
}

impl Runner {
    /// A runner without listeners.
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            provisioning: Provisioning::BindOnly,
        }
    }

    /// Whether streams and consumers that are missing are created at the start. The default is no.
    pub fn provisioning(mut self, provisioning: Provisioning) -> Self {
        self.provisioning = provisioning;
        self
    }

    /// Adds a listener.
    pub fn listen<L: Listener>(self, _listener: L) -> Self {
        const {
            assert!(
                L::QUEUE_GROUP.is_one_of(<L::Event as Listed>::CONSUMERS),
                "the listener's QUEUE_GROUP is not among those its event's line names"
            );
        }
        todo!()
    }

    /// Adds a listener that applies events to `database`.
    #[cfg(feature = "sql")]
    pub fn listen_in(
        self,
        database: &crate::Database,
        listener: impl crate::TransactionalListener,
    ) -> Self {
        self.listen(crate::InTransaction::new(database, listener))
    }

    /// Listens until `shutdown`, then drains.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the listeners cannot start.
    pub async fn run(self, _shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        todo!()
    }
}

/// Why the listeners did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The topology is not as declared.
    #[error("topology is not as declared")]
    Topology,
}
