//! Reads the columns of a row as the types of a service (features `sqlite` and `postgres`).

use std::str::FromStr;

use sqlx::any::AnyRow;
use sqlx::{Any, Decode, Row as _, Type};

use crate::error::BoxError;

/// Reads a value that is stored as its text: an id, a status.
///
/// ```no_run
/// # use common::events::{Cents, TicketId};
/// use common::columns::{number, text};
///
/// # fn read(row: &sqlx::any::AnyRow) -> Result<(TicketId, Cents), sqlx::Error> {
/// let id: TicketId = text(row, "id")?;
/// let price: Cents = number(row, "price")?;
/// # Ok((id, price))
/// # }
/// ```
///
/// # Errors
///
/// [`sqlx::Error`] if there is no such column, or it holds no text or none that is a `T`.
pub fn text<T>(row: &AnyRow, column: &str) -> Result<T, sqlx::Error>
where
    T: FromStr<Err: Into<BoxError>>,
{
    value(row, column, |text: &str| text.parse())
}

/// Reads a value that is stored as a number: a version, an amount.
///
/// # Errors
///
/// [`sqlx::Error`] if there is no such column, or it holds no number or none that is a `T`.
pub fn number<T>(row: &AnyRow, column: &str) -> Result<T, sqlx::Error>
where
    T: TryFrom<i64, Error: Into<BoxError>>,
{
    value(row, column, |number: i64| number.try_into())
}

/// Reads what a column holds, `&str`, `i64` or an `Option` of them, and makes a value of it.
///
/// ```no_run
/// # use common::events::PaymentId;
/// use common::columns::value;
/// use jiff::Timestamp;
///
/// # fn read(row: &sqlx::any::AnyRow) -> Result<(), Box<dyn std::error::Error>> {
/// let expires_at = value(row, "expires_at", Timestamp::from_millisecond)?;
/// let payment: Option<PaymentId> = value(row, "payment_id", |id: Option<&str>| id.map(str::parse).transpose())?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`sqlx::Error`] if there is no such column, it holds something else, or `make` refuses it.
pub fn value<'r, S, T, E>(
    row: &'r AnyRow,
    column: &str,
    make: impl FnOnce(S) -> Result<T, E>,
) -> Result<T, sqlx::Error>
where
    S: Decode<'r, Any> + Type<Any>,
    E: Into<BoxError>,
{
    make(row.try_get(column)?).map_err(|err| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: err.into(),
    })
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use super::super::fixture::Scratch;
    use super::*;
    use crate::error::Chain;
    use crate::events::{Cents, PaymentId, UserId};

    #[tokio::test]
    async fn value_is_read_or_the_column_is_named() {
        let scratch = Scratch::new().await;
        let database = scratch.open().await;
        let sql = "SELECT CAST('ann' AS TEXT) AS name, CAST(2500 AS BIGINT) AS price,
            CAST(NULL AS TEXT) AS absent, CAST('a b' AS TEXT) AS spaced, CAST(0 AS BIGINT) AS free";
        let row = sqlx::query(sql).fetch_one(database.reader()).await.unwrap();
        let parse = |id: Option<&str>| id.map(str::parse::<PaymentId>).transpose();

        assert_eq!(text::<UserId>(&row, "name").unwrap().as_str(), "ann");
        assert_eq!(number::<Cents>(&row, "price").unwrap().get(), 2500);
        assert_eq!(value(&row, "absent", parse).unwrap(), None);
        for (refused, column) in [
            (text::<UserId>(&row, "spaced").unwrap_err(), "spaced"),
            (number::<Cents>(&row, "free").unwrap_err(), "free"),
            (value(&row, "name", parse).unwrap_err(), "name"),
            (text::<UserId>(&row, "price").unwrap_err(), "price"),
            (text::<UserId>(&row, "missing").unwrap_err(), "missing"),
        ] {
            let said = Chain(&refused).to_string();
            assert!(said.contains(column), "{said}");
        }
    }
}
