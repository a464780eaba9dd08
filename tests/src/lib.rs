//! The harness of the integration tests: real NATS servers, and the services on them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what fails here fails the test that called it"
)]

pub mod services;
