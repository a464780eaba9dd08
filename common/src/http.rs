//! What every HTTP service is made of (feature `http`): the signed-in user, the error body, readers
//! of bodies and paths, the routes that say how the process is, the configuration, and an orderly stop.
//!
//! A service writes its routes and its listeners; the rest is here:
//!
//! - [`ServiceArgs`] become a [`ServiceConfig`], and that a [`Foundation`]: address, database, NATS.
//! - [`SignedIn`], [`PathId`], [`Page`] and [`JsonBody`] read a request, and refuse it by an [`ApiError`].
//!   Written in this order as a handler's arguments they refuse in the order 401, 400.
//! - [`application`] adds what every service answers, [`Server`] serves it, [`Parts`] runs it beside
//!   the listeners and stops everything in order.

mod args;
mod error;
mod exit;
mod extract;
#[cfg(feature = "sql")]
mod foundation;
mod jwt;
mod log;
mod page;
mod parts;
mod router;
mod server;
mod session;
mod signal;
mod values;

pub use args::{
    Address, ArgsError, NATS_VARIABLES, Provision, ServiceArgs, ServiceConfig, VARIABLES,
};
pub use error::ApiError;
pub use exit::exit_code;
pub use extract::{JsonBody, MAX_BODY_BYTES, PathId};
#[cfg(feature = "sql")]
pub use foundation::{Foundation, StartError};
pub use jwt::{InvalidJwtKey, InvalidToken, JwtKey};
pub use log::{LogError, log_to_stderr};
pub use page::{Limit, Page};
pub use parts::{Ending, PartError, Parts, Stop};
pub use router::{Readiness, application};
pub use server::{AnnounceError, DRAIN_DEADLINE, Server, announce};
pub use session::SignedIn;
pub use signal::until_signalled;
pub use values::{
    InvalidDuration, InvalidReplicas, parse_duration, parse_replicas, parse_time_limit,
};
