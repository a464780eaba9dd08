//! The transactional half: what a service writes and what it says commit together (features `sqlite` and `postgres`).

pub mod columns;
mod connect;
mod database;
#[cfg(test)]
#[cfg(feature = "sqlite")]
mod fixture;
mod guard;
mod ledger;
mod outbox;
mod relay;
#[cfg(any(test, feature = "testing"))]
mod scratch;
mod transaction;
mod transactional;
mod unavailable;

pub use database::{Backend, Database, DatabaseError};
pub use ledger::HeldEvents;
pub(crate) use ledger::{GroupLedger, HeldEvent};
pub use relay::Relay;
#[cfg(any(test, feature = "testing"))]
pub use scratch::ScratchDatabase;
pub use transaction::Tx;
pub use transactional::{InTransaction, Order, TransactionalListener};
pub(crate) use unavailable::is_unavailable;

use jiff::Timestamp;

/// The moment as a BIGINT: nanoseconds since 1970, which last until 2262.
fn nanos(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_nanosecond()).unwrap_or(i64::MAX)
}

/// Reads what [`nanos`] wrote.
fn moment(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanos.into()).unwrap_or(Timestamp::MAX)
}
