//! Typed events over NATS JetStream: the closed list of subjects, the events, and the publishers and
//! listeners that carry them.
//!
//! | to | see |
//! |---|---|
//! | list what can be said, by whom and to whom | [`Subjects`], [`subjects!`] for a list of one's own |
//! | say what an event is | [`Event`], and [`events`] for ours; to others, as JSON Schemas, [`Contract`] |
//! | connect | [`build_client`], [`ClientConfig`] |
//! | create streams and consumers, or compare them | [`Topology`] |
//! | let each service do what it must, and no more | [`Permissions`] |
//! | publish | [`Publisher`], [`JetStreamPublisher`]; with a database, `Tx::publish` and `Relay` |
//! | listen | [`Listener`], [`Runner`]; with a database, `TransactionalListener` and `InTransaction` |
//! | see to what could not be handled | [`dead_letters`] |
//! | read rows as one's own types | `columns` (features `sqlite`, `postgres`) |
//! | test without a server | `testing` (feature `testing`) |
//!
//! ```no_run
//! use common::events::OrderCreated;
//! use common::{ClientConfig, Delivery, Failure, Listener, QueueGroup, Runner, Settled, TICKETS_SERVICE, build_client};
//!
//! struct Reserve;
//!
//! impl Listener for Reserve {
//!     type Event = OrderCreated;
//!     const QUEUE_GROUP: QueueGroup = TICKETS_SERVICE;
//!
//!     async fn on_message(&self, order: OrderCreated, delivery: Delivery<'_>) -> Result<Settled, Failure> {
//!         println!("{} is taken by {}", order.ticket.id, order.id);
//!         Ok(delivery.ack())
//!     }
//! }
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = build_client(&ClientConfig::from_env("tickets-service")?).await?;
//! // and a listener for each other line of the list that names tickets-service
//! Runner::new(&client).listen(Reserve).run(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

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
pub mod dead_letters;
mod error;
mod event;
pub mod events;
mod failure;
mod handle;
mod headers;
mod health;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod hostile_input;
#[cfg(feature = "http")]
pub mod http;
mod jitter;
mod listener;
mod message;
mod metadata;
mod name;
mod permissions;
mod publisher;
mod retry;
mod runner;
#[cfg(feature = "sql")]
mod sql;
mod stored;
mod subject_set;
mod subjects;
#[cfg(feature = "testing")]
pub mod testing;
mod topology;
mod version;

pub use client::{Client, ClientConfig, ConfigError, ConnectError, build_client};
pub use contract::{Contract, Form};
pub use error::{BoxError, Chain};
pub use event::{Carries, Event, FormError, Past};
pub use failure::{Failure, FailureKind};
pub use headers::{Headers, InvalidHeader};
pub use health::{Health, Severity, Trouble};
pub use listener::{Delivery, Listener, Settled};
pub use metadata::Metadata;
pub use name::{InvalidKey, Key, QueueGroup, Schedules, StreamName};
pub use permissions::Permissions;
pub use publisher::{JetStreamPublisher, PublishError, Publisher, Stored};
pub use retry::RetryPolicy;
pub use runner::{RunError, Runner};
#[cfg(feature = "sql")]
pub use sql::{
    Backend, Database, DatabaseError, HeldEvents, InTransaction, Order, Relay,
    TransactionalListener, Tx, columns,
};
pub use subject_set::{EventVisitor, SubjectSet, UnknownSubject};
pub use subjects::{
    EXPIRATIONS, ORDERS, ORDERS_SERVICE, PAYMENTS, PAYMENTS_SERVICE, Subjects, TICKETS,
    TICKETS_SERVICE,
};
pub use topology::{Change, Drift, Provisioning, Topology, TopologyError};
pub use version::{InvalidVersion, Version};

/// What `subjects!` expands to. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::subject_set::{Listed, all_differ, is_channel};
}
