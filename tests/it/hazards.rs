//! What may go wrong between services, each with a test that fails when its guard is taken out.
//!
//! The table "Hazards" in ARCHITECTURE.md leads from hazard to test to guard.

pub(crate) mod bank;
mod cluster;
mod consumer;
mod crashes;
mod database;
mod dead_letters;
mod duplicates;
mod failing;
mod holding;
mod leases;
mod ordering;
mod outbox;
mod poison;
mod publishing;
mod server;
mod shutdown;
