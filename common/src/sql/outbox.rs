//! The rows of the outbox: what was published in a transaction and is not yet acknowledged by the server.

use std::fmt::Write as _;

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::Error as _;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row as _};

use super::{moment, nanos};
use crate::message::Outgoing;
use crate::name::Key;
use crate::publisher::PublishError;
use crate::version::Version;

/// An event that waits to be sent.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Its place in the outbox. Never used twice, unless the database is restored from an earlier state.
    pub(super) position: i64,
    /// Of which it is one.
    pub(super) lane: Lane,
    /// When it is to be delivered; `None` is now.
    pub(super) due: Option<Timestamp>,
    channel: String,
    version: Option<i64>,
    event_id: String,
    headers: String,
    /// Shared with every try to send it.
    payload: Bytes,
}

/// A row that the server has acknowledged: its place, and which event was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acknowledged {
    position: i64,
    event_id: String,
}

/// An aggregate's events, which are sent one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    pub(super) stream: String,
    pub(super) key: String,
}

impl Waiting {
    /// What it takes in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        self.headers.len() + self.payload.len()
    }

    pub(super) fn subject(&self) -> String {
        format!("{}.{}", self.channel, self.lane.key)
    }

    /// What is removed when the server has the event.
    pub(super) fn acknowledged(&self) -> Acknowledged {
        Acknowledged {
            position: self.position,
            event_id: self.event_id.clone(),
        }
    }

    /// The event as it was published.
    ///
    /// # Errors
    ///
    /// [`PublishError::Encode`] if the row is not as this crate wrote it.
    pub(super) fn outgoing(&self) -> Result<Outgoing, PublishError> {
        let unreadable = |err: &dyn std::error::Error| {
            PublishError::Encode(serde_json::Error::custom(format_args!(
                "row {} of the outbox: {err}",
                self.position
            )))
        };
        Ok(Outgoing {
            channel: self.channel.clone().into(),
            stream: self.lane.stream.clone().into(),
            key: Key::new(self.lane.key.as_str()).map_err(|err| unreadable(&err))?,
            version: self
                .version
                .map(Version::try_from)
                .transpose()
                .map_err(|err| unreadable(&err))?,
            id: self
                .event_id
                .parse()
                .map_err(|err: uuid::Error| unreadable(&err))?,
            headers: serde_json::from_str(&self.headers).map_err(|err| unreadable(&err))?,
            payload: self.payload.clone(),
        })
    }

    /// A row of no content.
    #[cfg(test)]
    pub(super) fn sample(position: i64, stream: &str, key: &str) -> Self {
        Self {
            position,
            lane: Lane {
                stream: stream.to_owned(),
                key: key.to_owned(),
            },
            due: None,
            channel: String::new(),
            version: None,
            event_id: String::new(),
            headers: String::new(),
            payload: Bytes::new(),
        }
    }

    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            position: row.try_get(0)?,
            lane: Lane {
                stream: row.try_get(1)?,
                key: row.try_get(2)?,
            },
            channel: row.try_get(3)?,
            version: row.try_get(4)?,
            event_id: row.try_get(5)?,
            headers: row.try_get(6)?,
            payload: row.try_get::<String, _>(7)?.into(),
            due: row.try_get::<Option<i64>, _>(8)?.map(moment),
        })
    }
}

/// How many lanes one statement sets aside.
const PARKED_AT_ONCE: usize = 100;

const COLUMNS: &str = "position, stream, key, channel, version, event_id, headers, payload, due";

/// Writes the event to the outbox, within the transaction that `connection` is in.
pub(super) async fn insert(
    connection: &mut AnyConnection,
    outgoing: &Outgoing,
    due: Option<Timestamp>,
) -> Result<(), PublishError> {
    let headers = serde_json::to_string(&outgoing.headers).map_err(PublishError::Encode)?;
    let payload = str::from_utf8(&outgoing.payload)
        .map_err(|err| PublishError::Encode(serde_json::Error::custom(err)))?;
    let written = sqlx::query(
        "INSERT INTO event_outbox (stream, key, channel, version, event_id, headers, payload, due)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (stream, key, version) DO NOTHING",
    )
    .bind(&*outgoing.stream)
    .bind(outgoing.key.as_str())
    .bind(&*outgoing.channel)
    .bind(outgoing.version.map(Version::to_sql))
    .bind(outgoing.id.hyphenated().to_string())
    .bind(headers)
    .bind(payload)
    .bind(due.map(nanos))
    .execute(connection)
    .await
    .map_err(PublishError::Outbox)?;
    match outgoing.version {
        Some(version) if written.rows_affected() == 0 => Err(PublishError::VersionTaken {
            subject: outgoing.subject(),
            version,
        }),
        _ => Ok(()),
    }
}

/// How many events wait.
pub(super) async fn len(pool: &AnyPool) -> Result<u64, sqlx::Error> {
    let len: i64 = sqlx::query_scalar("SELECT count(*) FROM event_outbox")
        .fetch_one(pool)
        .await?;
    Ok(len.cast_unsigned())
}

/// Which rows are read next.
#[derive(Debug)]
pub(super) struct Page<'p> {
    /// At most so many.
    pub(super) limit: usize,
    /// But not these, which are in memory.
    pub(super) but: Vec<i64>,
    /// Nor those of these lanes, which have enough in memory.
    pub(super) but_lanes: &'p [Lane],
    /// Nor those of these streams, which take nothing now.
    pub(super) but_streams: &'p [String],
}

/// The first rows that are not parked, in the order of their positions.
///
/// From the beginning each time, page by page as well: the order of positions is not the order of
/// commits, so no position is one that everything below has passed. A row may appear in front of
/// those that were read a moment ago, and with it, behind them, a later row of its key.
pub(super) async fn read(pool: &AnyPool, page: &Page<'_>) -> Result<Vec<Waiting>, sqlx::Error> {
    let mut sql = format!("SELECT {COLUMNS} FROM event_outbox WHERE parked = 0");
    if !page.but.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(sql, " AND position NOT IN ({})", list(&page.but));
    }
    let mut parameter = 0;
    for _ in page.but_lanes {
        let (stream, key) = (parameter + 1, parameter + 2);
        let _ = write!(sql, " AND NOT (stream = ${stream} AND key = ${key})");
        parameter = key;
    }
    for _ in page.but_streams {
        parameter += 1;
        let _ = write!(sql, " AND stream <> ${parameter}");
    }
    let _ = write!(sql, " ORDER BY position LIMIT {}", page.limit);
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(page.but.is_empty());
    for lane in page.but_lanes {
        query = query.bind(lane.stream.as_str()).bind(lane.key.as_str());
    }
    for stream in page.but_streams {
        query = query.bind(stream.as_str());
    }
    let rows = query.fetch_all(pool).await?;
    rows.iter().map(Waiting::read).collect()
}

/// The first row of the lane, parked or not.
pub(super) async fn first_of(pool: &AnyPool, lane: &Lane) -> Result<Option<Waiting>, sqlx::Error> {
    const SQL: &str =
        "SELECT position, stream, key, channel, version, event_id, headers, payload, due
         FROM event_outbox WHERE stream = $1 AND key = $2 ORDER BY position LIMIT 1";
    let row = sqlx::query(SQL)
        .bind(lane.stream.as_str())
        .bind(lane.key.as_str())
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(Waiting::read).transpose()
}

/// Removes rows that the server has acknowledged, and returns their positions.
///
/// By the event as well: a database that was restored gives positions again, to other events.
pub(super) async fn remove(
    pool: &AnyPool,
    acknowledged: &[Acknowledged],
) -> Result<Vec<i64>, sqlx::Error> {
    let positions: Vec<_> = acknowledged.iter().map(|row| row.position).collect();
    let ids: Vec<_> = (1..=acknowledged.len())
        .map(|nth| format!("${nth}"))
        .collect();
    let sql = format!(
        "DELETE FROM event_outbox WHERE position IN ({}) AND event_id IN ({})",
        list(&positions),
        ids.join(",")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    for row in acknowledged {
        query = query.bind(row.event_id.as_str());
    }
    query.execute(pool).await?;
    Ok(positions)
}

/// Sets the rows of blocked lanes aside, so that they are not read again and again, and says how many
/// there were. None for whoever has lost the lease of this epoch.
pub(super) async fn park(pool: &AnyPool, lanes: &[Lane], epoch: i64) -> Result<u64, sqlx::Error> {
    let mut parked = 0;
    for lanes in lanes.chunks(PARKED_AT_ONCE) {
        let mut sql = String::from(
            "UPDATE event_outbox SET parked = 1 WHERE parked = 0
             AND EXISTS (SELECT 1 FROM event_lease WHERE name = $1 AND epoch = $2)
             AND (stream, key) IN (VALUES ",
        );
        for nth in 0..lanes.len() {
            let separator = if nth == 0 { "" } else { ", " };
            let (stream, key) = (2 * nth + 3, 2 * nth + 4);
            let _ = write!(sql, "{separator}(${stream}, ${key})");
        }
        sql.push(')');
        let mut query = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .bind(super::relay::LEASE)
            .bind(epoch);
        for lane in lanes {
            query = query.bind(lane.stream.as_str()).bind(lane.key.as_str());
        }
        parked += query.execute(pool).await?.rows_affected();
    }
    Ok(parked)
}

/// Brings the rows of a lane back.
pub(super) async fn unpark(pool: &AnyPool, lane: &Lane) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE event_outbox SET parked = 0 WHERE stream = $1 AND key = $2 AND parked = 1")
        .bind(lane.stream.as_str())
        .bind(lane.key.as_str())
        .execute(pool)
        .await
        .map(drop)
}

/// Brings all rows back: a new relay finds out for itself what is blocked.
pub(super) async fn unpark_all(pool: &AnyPool) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE event_outbox SET parked = 0 WHERE parked = 1")
        .execute(pool)
        .await
        .map(drop)
}

fn list(positions: &[i64]) -> String {
    let mut list = String::with_capacity(positions.len() * 8);
    for position in positions {
        if !list.is_empty() {
            list.push(',');
        }
        let _ = write!(list, "{position}");
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_not_copied_for_a_try() {
        let waiting = Waiting {
            event_id: uuid::Uuid::now_v7().to_string(),
            headers: "[]".to_owned(),
            payload: "{}".to_owned().into(),
            ..Waiting::sample(1, "A", "ann")
        };
        let tries = [waiting.outgoing().unwrap(), waiting.outgoing().unwrap()];
        for sent in tries {
            assert_eq!(sent.payload.as_ptr(), waiting.payload.as_ptr());
        }
    }
}
