//! The SDK against real NATS servers: what is published arrives, is handled once for each group, and what fails is
//! retried and at last kept.

mod bad_wire;
mod cloud_events;
mod cluster;
mod connecting;
mod dead_letters;
mod forms;
mod groups;
mod holding;
mod outages;
mod publishing;
mod redriving;
mod relaying;
mod settling;
mod topology;
mod transactional;
