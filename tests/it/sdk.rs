//! The SDK against real NATS servers: who is given what, and that the server is as the lists declare.

mod cloud_events;
mod connecting;
pub(crate) mod dead_letters;
mod forms;
pub(crate) mod groups;
mod redriving;
pub(crate) mod topology;
