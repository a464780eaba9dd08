//! The SDK against real NATS servers: who is given what, and that the server is as the lists declare.

pub(crate) mod groups;
pub(crate) mod topology;
