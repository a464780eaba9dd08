use std::num::NonZeroUsize;

use crate::client::Client;
use crate::subject_set::SubjectSet;

/// What the server must have for a list of subjects: its streams and durable consumers.
#[derive(Debug, Clone)]
pub struct Topology {}

/// Whether a process may create what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Provisioning {
    /// Nothing is created; what is missing or less than declared stops the start. For production.
    #[default]
    BindOnly,
    /// What is missing is created, what is less is raised; nothing is removed.
    Create {
        /// How many servers store each stream: 1 or 3.
        replicas: NonZeroUsize,
    },
}

impl Topology {
    /// What the list `S` needs.
    #[must_use]
    pub fn of<S: SubjectSet>() -> Self {
        todo!()
    }

    /// Creates what is missing.
    ///
    /// # Errors
    ///
    /// [`ProvisionError`].
    pub async fn provision(
        &self,
        _client: &Client,
        _replicas: NonZeroUsize,
    ) -> Result<(), ProvisionError> {
        todo!()
    }
}

/// A difference between what is declared and what the server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {}

/// Why the topology could not be provisioned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// The server did not answer.
    #[error("server did not answer")]
    Unreachable,
}
