//! The transactional half: what a service writes and what it says commit together (features `sqlite` and `postgres`).

mod database;
mod transaction;
mod transactional;

pub use database::{Backend, Database, DatabaseError};
pub use relay::Relay;
pub use transaction::Tx;
pub use transactional::{InTransaction, Order, TransactionalListener};

mod relay;

/// Whether the error says that the database is out of reach, locked or full: nothing that one event is to blame for.
pub(crate) fn is_unavailable(_err: &sqlx::Error) -> bool {
    todo!()
}
