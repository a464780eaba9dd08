//! The three services, real, on real databases, against a real NATS server, over HTTP.

mod bad_messages;
mod bad_requests;
mod configuration;
mod dropping;
mod duplicates;
mod interleavings;
mod life;
mod money;
mod outages;
mod permissions;
mod replicas;
mod secrets;

use common::{ORDERS_SERVICE, PAYMENTS_SERVICE, QueueGroup, TICKETS_SERVICE};

const SERVICES: [QueueGroup; 3] = [TICKETS_SERVICE, ORDERS_SERVICE, PAYMENTS_SERVICE];

/// The program of a service, as cargo has built it for this test.
pub(crate) fn program(service: QueueGroup) -> &'static str {
    match service {
        TICKETS_SERVICE => env!("CARGO_BIN_EXE_tickets-service-under-test"),
        ORDERS_SERVICE => env!("CARGO_BIN_EXE_orders-service-under-test"),
        PAYMENTS_SERVICE => env!("CARGO_BIN_EXE_payments-service-under-test"),
        _ => panic!("there is no `{service}`"),
    }
}
