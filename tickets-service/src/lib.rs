//! Sells tickets.
//!
//! Puts tickets on sale over HTTP, and reserves each for the oldest order that asks for it and is
//! not cancelled. What becomes of a ticket is published as `ticket:created` and `ticket:updated`.

mod config;
#[cfg(test)]
mod fixture;
mod listeners;
mod routes;
mod store;
mod ticket;

use std::net::SocketAddr;

use common::http::{Foundation, PartError, Parts, StartError, application};
use common::{Relay, Runner, TICKETS_SERVICE};

pub use config::Config;

use crate::listeners::{ReleaseOnCancel, ReserveOnOrder, SellOnCompletion};

/// The service: ready to run, on an address of its own.
#[derive(Debug)]
pub struct Service {
    config: Config,
    foundation: Foundation,
}

impl Service {
    /// Takes the address, opens the database and connects to NATS.
    ///
    /// # Errors
    ///
    /// [`StartError`] of the first of them that failed.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let foundation =
            Foundation::lay(TICKETS_SERVICE, &config.service, store::MIGRATIONS).await?;
        Ok(Self {
            config: config.clone(),
            foundation,
        })
    }

    /// Where it listens, with the port that was taken if the configuration says 0.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.foundation.server.addr()
    }

    /// Serves until `shutdown`, and then stops in order: what has begun is finished, and what is
    /// published until then is sent; what NATS does not take within 5 s stays in the outbox.
    ///
    /// # Errors
    ///
    /// [`PartError`] if a part of it failed.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), PartError> {
        let readiness = self.foundation.readiness();
        let Foundation {
            server,
            database,
            client,
            ..
        } = self.foundation;
        let Config { service } = self.config;

        let routes = routes::router(&database, &service.jwt_key);
        let runner = Runner::new(&client)
            .provisioning(service.provisioning)
            .listen_in(&database, ReserveOnOrder)
            .listen_in(&database, ReleaseOnCancel)
            .listen_in(&database, SellOnCompletion);
        let relay = Relay::new(&database, &client);

        let outcome = Parts::new()
            .start("HTTP", |stop| {
                server.run(application(routes, readiness), stop)
            })
            .start("listeners", |stop| runner.run(stop))
            .start("relay", |stop| relay.run(stop))
            .run(shutdown)
            .await;
        client.close().await;
        outcome
    }
}
