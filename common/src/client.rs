use std::sync::Arc;

use crate::health::Health;

/// A connection to NATS that is rebuilt when it dies. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    health: Health,
}

impl Client {
    /// What keeps this process from being ready.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Sends what is queued and closes. Call it last.
    pub async fn close(self) {
        todo!()
    }
}

/// Where NATS is, who we are, and how we prove it.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    name: Arc<str>,
}

impl ClientConfig {
    /// NATS at `nats://127.0.0.1:4222`, without credentials, under the name of a service.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into() }
    }

    /// As [`new`](Self::new), and what the environment says.
    ///
    /// # Errors
    ///
    /// If a variable cannot be read.
    pub fn from_env(name: &str) -> Result<Self, ConnectError> {
        Ok(Self::new(name))
    }

    /// The servers, one or several, separated by commas.
    #[must_use]
    pub fn url(self, _url: &str) -> Self {
        self
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No server answered.
    #[error("no NATS server answered")]
    Unreachable,
}

/// Connects.
///
/// # Errors
///
/// [`ConnectError`].
pub async fn build_client(_config: &ClientConfig) -> Result<Client, ConnectError> {
    todo!()
}
