//! Takes orders.
//!
//! A ticket is ordered over HTTP, by one order at a time, and is its buyer's until the order is paid,
//! given up or expired. What becomes of an order is published as `order:created`, `order:cancelled`
//! and `order:completed`, and its end is scheduled as `expiration:complete`.

mod cancellation;
mod config;
#[cfg(test)]
mod fixture;
mod listeners;
mod order;
mod routes;
mod store;

use std::net::SocketAddr;

use common::http::{Foundation, PartError, Parts, StartError, application};
use common::{ORDERS_SERVICE, Relay, Runner};

pub use config::{Config, InvalidTtl, OrderTtl};

use crate::cancellation::sweep;
use crate::listeners::{
    AddOnTicketCreated, CancelOnExpiration, CompleteOnPayment, ConfirmOnTicketUpdated,
    RecordOnRefund,
};

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
            Foundation::lay(ORDERS_SERVICE, &config.service, store::MIGRATIONS).await?;
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
        let Config { service, order_ttl } = self.config;

        let routes = routes::router(&database, &service.jwt_key, order_ttl);
        let runner = Runner::new(&client)
            .provisioning(service.provisioning)
            .listen_in(&database, AddOnTicketCreated)
            .listen_in(&database, ConfirmOnTicketUpdated)
            .listen_in(&database, CompleteOnPayment)
            .listen_in(&database, RecordOnRefund)
            .listen_in(&database, CancelOnExpiration);
        let relay = Relay::new(&database, &client);

        let outcome = Parts::new()
            .start("HTTP", |stop| {
                server.run(application(routes, readiness), stop)
            })
            .start("sweep", |stop| sweep(database, stop))
            .start("listeners", |stop| runner.run(stop))
            .start("relay", |stop| relay.run(stop))
            .run(shutdown)
            .await;
        client.close().await;
        outcome
    }
}
