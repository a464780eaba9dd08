//! Typed events over NATS JetStream: the closed list of subjects, the events, and the publishers and
//! listeners that carry them.

#![cfg_attr(
    not(feature = "sql"),
    expect(
        dead_code,
        clippy::unused_async,
        reason = "the runner is the same with a database and without; some of it serves the transactional half only"
    )
)]

#[doc(hidden)]
pub use schemars;

mod client;
mod cloud_events;
mod contract;
mod dead_letter;
mod error;
mod event;
pub mod events;
mod failure;
mod handle;
mod headers;
mod health;
#[cfg(test)]
mod hostile_input;
#[cfg(feature = "http")]
pub mod http;
mod jitter;
mod listener;
mod message;
mod metadata;
mod name;
mod publisher;
mod retry;
mod runner;
#[cfg(feature = "sql")]
mod sql;
mod subject_set;
mod subjects;
#[cfg(feature = "testing")]
pub mod testing;
mod topology;
mod version;

pub use client::{Client, ClientConfig, ConfigError, ConnectError, build_client};
pub use contract::{Contract, Form};
pub use error::{BoxError, Chain};
pub use event::{Carries, Event, Past};
pub use failure::{Failure, FailureKind};
pub use headers::{Headers, InvalidHeader};
pub use health::{Health, Severity, Trouble};
pub use listener::{Delivery, Listener, Settled};
pub use metadata::Metadata;
pub use name::{InvalidKey, Key, QueueGroup, Schedules, StreamName};
pub use publisher::{JetStreamPublisher, PublishError, Publisher, Stored};
pub use retry::RetryPolicy;
pub use runner::{RunError, Runner};
#[cfg(feature = "sql")]
pub use sql::{
    Backend, Database, DatabaseError, InTransaction, Order, Relay, TransactionalListener, Tx,
};
pub use subject_set::{EventVisitor, SubjectSet, UnknownSubject};
pub use subjects::{
    EXPIRATIONS, ORDERS, ORDERS_SERVICE, PAYMENTS, PAYMENTS_SERVICE, Subjects, TICKETS,
    TICKETS_SERVICE,
};
pub use topology::{Change, Drift, Provisioning, Pruning, Topology, TopologyError};
pub use version::{InvalidVersion, Version};

/// What `subjects!` expands to. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::subject_set::{Listed, all_differ, is_channel};
}
