use jiff::Timestamp;
use sqlx::Row as _;

use super::Published;
use crate::Database;
use crate::event::Event;
use crate::headers::Headers;

/// What a service has published in committed transactions, oldest first: the rows of its outbox that no
/// relay has sent. In a test without a relay that is everything.
///
/// # Panics
///
/// If the database cannot be read.
pub async fn outbox(database: &Database) -> Vec<Unsent> {
    let rows = sqlx::query(
        "SELECT channel, key, headers, payload, due FROM event_outbox ORDER BY position",
    )
    .fetch_all(database.reader())
    .await;
    let unsent: Result<Vec<_>, _> = match rows {
        Ok(rows) => rows.iter().map(Unsent::read).collect(),
        Err(err) => panic!("outbox cannot be read: {err}"),
    };
    match unsent {
        Ok(unsent) => unsent,
        Err(err) => panic!("outbox has a row that this crate did not write: {err}"),
    }
}

/// An event that waits in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// The event as it will stand on the wire.
    pub message: Published,
    /// When it is to be delivered; `None` is now.
    pub due: Option<Timestamp>,
}

impl Unsent {
    /// The event, if it is one of the channel of `E`.
    ///
    /// # Panics
    ///
    /// If it is one of that channel and cannot be read as an `E`.
    #[must_use]
    #[track_caller]
    pub fn event<E: Event>(&self) -> Option<E> {
        self.message.event()
    }

    fn read(row: &sqlx::any::AnyRow) -> Result<Self, sqlx::Error> {
        let (channel, key): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        let headers: Headers = serde_json::from_str(row.try_get(2)?)
            .map_err(|err| sqlx::Error::Decode(Box::new(err)))?;
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let payload: &str = row.try_get(3)?;
        let due: Option<i64> = row.try_get(4)?;
        Ok(Self {
            message: Published::new(
                format!("{channel}.{key}"),
                headers,
                payload.as_bytes().to_vec(),
            ),
            due: due
                .map(|nanos| Timestamp::from_nanosecond(nanos.into()).unwrap_or(Timestamp::MAX)),
        })
    }
}
