use std::io;
use std::net::SocketAddr;

use super::{Readiness, Server, ServiceConfig};
use crate::client::{Client, ConnectError, build_client};
use crate::name::QueueGroup;
use crate::sql::{Database, DatabaseError};

/// What a service stands on: an address, a database with its tables, a connection to NATS.
#[derive(Debug)]
#[non_exhaustive]
pub struct Foundation {
    /// Has taken the address, and does not serve yet.
    pub server: Server,
    /// Has the tables of the service.
    pub database: Database,
    /// Is connected.
    pub client: Client,
}

impl Foundation {
    /// Takes the address, opens the database and brings its tables up to date, and connects to NATS.
    ///
    /// # Errors
    ///
    /// [`StartError`] of the first of them that failed.
    pub async fn lay(
        service: QueueGroup,
        config: &ServiceConfig,
        migrations: &'static [&'static str],
    ) -> Result<Self, StartError> {
        let addr = config.http_addr;
        let server = Server::bind(addr)
            .await
            .map_err(|source| StartError::Address { addr, source })?;
        let database = Database::connect(&config.database_url).await?;
        database.migrate(service.as_str(), migrations).await?;
        let client = build_client(&config.nats).await?;
        Ok(Self {
            server,
            database,
            client,
        })
    }

    /// What `/readyz` asks.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        Readiness::of(self.client.health()).and(&self.database)
    }
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is in use, or not one of this machine.
    #[error("cannot listen on {addr}")]
    Address {
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database cannot be used.
    #[error("database cannot be used")]
    Database(#[from] DatabaseError),
    /// NATS is out of reach, or does not let us in.
    #[error("NATS cannot be used")]
    Nats(#[from] ConnectError),
}
