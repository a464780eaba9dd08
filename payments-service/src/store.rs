//! The service's tables. Every change is one conditional update, or stands behind the lock of the order's row.
//!
//! The lock is always taken on the order first and on its payment second, so that nobody waits in a circle.

use std::str::FromStr;

use common::BoxError;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

pub(crate) mod orders;
pub(crate) mod payments;
pub(crate) mod tickets;

/// The tables' history, oldest first. What has been released is never edited.
pub const MIGRATIONS: &[&str] = &[include_str!("../migrations/0001_payments.sql")];

/// Reads a value that is stored as its text.
fn parsed<T>(row: &AnyRow, column: &str) -> Result<T, sqlx::Error>
where
    T: FromStr<Err: Into<BoxError>>,
{
    row.try_get::<String, _>(column)?.parse().map_err(decode)
}

/// Reads a value that is stored as a number.
fn number<T>(row: &AnyRow, column: &str) -> Result<T, sqlx::Error>
where
    T: TryFrom<i64, Error: Into<BoxError>>,
{
    T::try_from(row.try_get(column)?).map_err(decode)
}

/// Reads a moment: microseconds since 1970.
fn moment(row: &AnyRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_microsecond(row.try_get(column)?).map_err(decode)
}

fn decode(err: impl Into<BoxError>) -> sqlx::Error {
    sqlx::Error::Decode(err.into())
}

/// A row holds what the table's own checks should have kept out.
#[derive(Debug, thiserror::Error)]
#[error("column `{column}` holds {value:?}")]
struct Unexpected {
    column: &'static str,
    value: String,
}
