//! Takes the money for an order, once, and gives it back when the order is cancelled.
//!
//! Orders are heard of, paid over HTTP and charged by a [`PaymentGateway`]. What becomes of their money is
//! published as `payment:created` and `payment:refunded`. The [`Cashier`] is the heart of it.

mod cashier;
mod clock;
mod config;
mod gateway;
pub mod listeners;
mod order;
mod payment;
mod routes;
mod store;
mod worker;

use std::net::SocketAddr;

use common::http::{self, Foundation, PartError, Parts, ServiceConfig, application};
use common::{PAYMENTS_SERVICE, Relay, Runner};

pub use cashier::{Cashier, PayError, StoreError};
pub use clock::Clock;
pub use config::{Config, GatewayConfig};
pub use gateway::{
    Attempt, ChargeAnswer, ChargeRequest, IdempotencyKey, InvalidAttempt, InvalidToken,
    LedgerCharge, LedgerDecline, LedgerError, LedgerRefund, OutcomeUnknown, PaymentGateway,
    RefundRequest, SandboxGateway, SandboxLedger, TestToken, Token,
};
pub use routes::router;
pub use store::MIGRATIONS;
pub use worker::Worker;

use crate::listeners::{
    AddOnOrderCreated, CloseOnOrderCompleted, NameOnTicketCreated, NameOnTicketUpdated,
    RefundOnOrderCancelled,
};

/// The service: ready to run, on an address of its own.
#[derive(Debug)]
pub struct Service<G> {
    config: ServiceConfig,
    foundation: Foundation,
    cashier: Cashier<G>,
    clock: Clock,
}

impl Service<SandboxGateway> {
    /// Opens the gateway that the configuration names, takes the address, opens the database and connects to NATS.
    ///
    /// # Errors
    ///
    /// [`StartError`] of the first of them that failed.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let GatewayConfig::Sandbox { ledger, latency } = &config.gateway;
        let ledger = SandboxLedger::open(ledger).await?;
        let gateway = SandboxGateway::new(ledger).latency(*latency);
        Self::with_gateway(config, gateway).await
    }
}

impl<G: PaymentGateway> Service<G> {
    /// As [`start`](Service::start), with a gateway of one's own.
    ///
    /// # Errors
    ///
    /// [`StartError`] of the first step that failed.
    pub async fn with_gateway(config: &Config, gateway: G) -> Result<Self, StartError> {
        let foundation =
            Foundation::lay(PAYMENTS_SERVICE, &config.service, store::MIGRATIONS).await?;
        let clock = Clock::system();
        let cashier = Cashier::new(
            &foundation.database,
            gateway,
            clock.clone(),
            config.gateway_timeout,
        );
        Ok(Self {
            config: config.service.clone(),
            foundation,
            cashier,
            clock,
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

        let routes = router(&self.cashier, &self.config.jwt_key);
        let runner = Runner::new(&client)
            .provisioning(self.config.provisioning)
            .listen_in(&database, AddOnOrderCreated)
            .listen_in(&database, RefundOnOrderCancelled::new(self.clock))
            .listen_in(&database, CloseOnOrderCompleted)
            .listen_in(&database, NameOnTicketCreated)
            .listen_in(&database, NameOnTicketUpdated);
        let worker = Worker::new(&self.cashier, client.health());
        let relay = Relay::new(&database, &client);

        let outcome = Parts::new()
            .start("HTTP", |stop| {
                server.run(application(routes, readiness), stop)
            })
            .start("listeners", |stop| runner.run(stop))
            .start("worker", |stop| worker.run(stop))
            .start("relay", |stop| relay.run(stop))
            .run(shutdown)
            .await;
        client.close().await;
        outcome
    }
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It lacks what every service stands on.
    #[error(transparent)]
    Foundation(#[from] http::StartError),
    /// The sandbox has no ledger.
    #[error("payment gateway cannot be used")]
    Ledger(#[from] LedgerError),
}
