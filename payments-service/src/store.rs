//! The service's tables. Every change is one conditional update, or stands behind the lock of the order's row.
//!
//! The lock is always taken on the order first and on its payment second, so that nobody waits in a circle.

use common::columns::value;
use jiff::Timestamp;
use sqlx::any::AnyRow;

pub(crate) mod orders;
pub(crate) mod payments;
pub(crate) mod tickets;

/// The tables' history, oldest first. What has been released is never edited.
pub const MIGRATIONS: &[&str] = &[include_str!("../migrations/0001_payments.sql")];

/// Reads a moment: microseconds since 1970.
fn moment(row: &AnyRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    value(row, column, Timestamp::from_microsecond)
}
