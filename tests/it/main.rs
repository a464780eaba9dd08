//! The services and the SDK against real NATS servers.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic, and so may its helpers"
)]

mod account;
mod demo;
mod documents;
mod foreign;
mod hazards;
mod program;
mod sdk;
mod services;
