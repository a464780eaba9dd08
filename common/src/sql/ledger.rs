//! What the runner keeps in the database for a queue group on one stream: attempts, and events held back.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row as _};

use super::{Database, guard, moment, nanos};
use crate::headers::Headers;
use crate::metadata::Position;
use crate::name::{Key, QueueGroup, StreamName};
use crate::version::Version;

/// How many rows are removed at once: the writer is free for others in between.
const BATCH: u64 = 500;

/// The accounts of a queue group on one stream.
#[derive(Debug, Clone)]
pub(crate) struct GroupLedger {
    pub(crate) database: Database,
    pub(crate) queue_group: QueueGroup,
    pub(crate) stream: StreamName,
}

/// An event that came before its predecessor, and was acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeldEvent {
    pub(crate) channel: String,
    pub(crate) key: Key,
    pub(crate) version: Version,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
    pub(crate) position: Position,
    /// Attempts that failed since it is held.
    pub(crate) attempts: u32,
    pub(crate) held_at: Timestamp,
    /// When it is tried or looked at again.
    pub(crate) next_try: Timestamp,
    /// The last version of its key that was applied when this was read: 0 is none.
    pub(crate) applied: i64,
}

/// The events that a queue group holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldEvents {
    /// How many there are.
    pub count: u64,
    /// Since when the oldest of them is held. `None`: there is none.
    pub oldest: Option<Timestamp>,
}

impl HeldEvents {
    /// Counts them, on all streams, without those that were applied meanwhile.
    pub(super) async fn count(pool: &AnyPool, group: QueueGroup) -> Result<Self, sqlx::Error> {
        let (count, oldest): (i64, Option<i64>) = sqlx::query_as(
            "SELECT count(*), min(h.held_at) FROM event_held h JOIN event_guard g
                 ON g.queue_group = h.queue_group AND g.stream = h.stream AND g.key = h.key
             WHERE h.queue_group = $1 AND h.version > g.version",
        )
        .bind(group.as_str())
        .fetch_one(pool)
        .await?;
        Ok(Self {
            count: count.cast_unsigned(),
            oldest: oldest.map(moment),
        })
    }
}

/// Attempts at handling a message, by its position.
impl GroupLedger {
    /// Notes that an attempt begins, or that one has failed which nobody noted at its beginning, and
    /// yields its number, the first being 1.
    pub(crate) async fn begin_attempt(&self, position: &Position) -> Result<u32, sqlx::Error> {
        let counted: Vec<i64> = sqlx::query_scalar(
            "INSERT INTO event_attempts (queue_group, stream, sequence, stored_at, attempts, tried_at)
             VALUES ($1, $2, $3, $4, 1, $5)
             ON CONFLICT (queue_group, stream, sequence, stored_at) DO UPDATE SET
                 attempts = event_attempts.attempts + 1, tried_at = excluded.tried_at
             RETURNING attempts",
        )
        .bind(self.queue_group.as_str())
        .bind(self.stream.as_str())
        .bind(position.sequence.cast_signed())
        .bind(nanos(position.stored_at))
        .bind(nanos(Timestamp::now()))
        // To the end: an error of the commit comes after the row.
        .fetch_all(self.database.writer())
        .await?;
        let counted = counted.first().copied().unwrap_or_default();
        Ok(u32::try_from(counted).unwrap_or(u32::MAX))
    }

    /// Takes back an attempt that does not count.
    pub(crate) async fn undo_attempt(&self, position: &Position) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE event_attempts SET attempts = attempts - 1
             WHERE queue_group = $1 AND stream = $2 AND sequence = $3 AND stored_at = $4 AND attempts > 0",
        )
        .bind(self.queue_group.as_str())
        .bind(self.stream.as_str())
        .bind(position.sequence.cast_signed())
        .bind(nanos(position.stored_at))
        .execute(self.database.writer())
        .await
        .map(drop)
    }

    /// Forgets a message that is settled.
    pub(crate) async fn forget_attempts(&self, position: &Position) -> Result<(), sqlx::Error> {
        sqlx::query(
            "DELETE FROM event_attempts
             WHERE queue_group = $1 AND stream = $2 AND sequence = $3 AND stored_at = $4",
        )
        .bind(self.queue_group.as_str())
        .bind(self.stream.as_str())
        .bind(position.sequence.cast_signed())
        .bind(nanos(position.stored_at))
        .execute(self.database.writer())
        .await
        .map(drop)
    }
}

/// A held event beside its guard. The columns are those that [`HeldEvent::read`] expects.
macro_rules! select_held {
    ($conditions:literal) => {
        concat!(
            "SELECT h.channel, h.key, h.version, h.headers, h.payload, h.stream, h.sequence, h.stored_at,
                 h.attempts, h.held_at, h.next_try, g.version
             FROM event_held h JOIN event_guard g
                 ON g.queue_group = h.queue_group AND g.stream = h.stream AND g.key = h.key
             WHERE h.queue_group = $1 AND h.stream = $2 AND ",
            $conditions
        )
    };
}

/// Events held back, by key and version.
impl GroupLedger {
    /// The held event of the key whose turn it is. `None` also while its next try is not due.
    pub(crate) async fn next_held(&self, key: &Key) -> Result<Option<HeldEvent>, sqlx::Error> {
        let row = sqlx::query(select_held!(
            "h.key = $3 AND h.version = g.version + 1 AND h.next_try <= $4"
        ))
        .bind(self.queue_group.as_str())
        .bind(self.stream.as_str())
        .bind(key.as_str())
        .bind(nanos(Timestamp::now()))
        .fetch_optional(self.database.reader())
        .await?;
        row.as_ref().map(HeldEvent::read).transpose()
    }

    /// Held events of any key whose turn it is and whose next try is due, those held longest first.
    pub(crate) async fn due_held(&self, limit: u32) -> Result<Vec<HeldEvent>, sqlx::Error> {
        let rows = sqlx::query(select_held!(
            "h.version = g.version + 1 AND h.next_try <= $3 ORDER BY h.held_at LIMIT $4"
        ))
        .bind(self.queue_group.as_str())
        .bind(self.stream.as_str())
        .bind(nanos(Timestamp::now()))
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await?;
        rows.iter().map(HeldEvent::read).collect()
    }

    /// Per key the lowest held event, if it is not its turn, it has been held for longer than
    /// `older_than` and its next look is due; those held longest first.
    pub(crate) async fn orphans(
        &self,
        older_than: Duration,
        limit: u32,
    ) -> Result<Vec<HeldEvent>, sqlx::Error> {
        let rows = sqlx::query(select_held!(
            "h.version > g.version + 1 AND h.held_at <= $3 AND h.next_try <= $4 AND NOT EXISTS (
                 SELECT 1 FROM event_held o WHERE o.queue_group = h.queue_group AND o.stream = h.stream
                     AND o.key = h.key AND o.version < h.version AND o.version > g.version)
             ORDER BY h.held_at LIMIT $5"
        ))
        .bind(self.queue_group.as_str())
        .bind(self.stream.as_str())
        .bind(nanos(ago(older_than)))
        .bind(nanos(Timestamp::now()))
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await?;
        rows.iter().map(HeldEvent::read).collect()
    }

    /// Counts an attempt at the event before it starts, and has the event for itself `until` then.
    /// `None`: somebody else has it.
    pub(crate) async fn claim_held(
        &self,
        event: HeldEvent,
        until: Timestamp,
    ) -> Result<Option<HeldEvent>, sqlx::Error> {
        let claimed = self.update_held(&event, event.attempts + 1, until).await?;
        let next_try = until;
        Ok(claimed.then_some(HeldEvent { next_try, ..event }))
    }

    /// Gives the event back uncounted, to be tried or looked at then: unless it became due meanwhile.
    pub(crate) async fn leave_held(
        &self,
        event: &HeldEvent,
        next_try: Timestamp,
    ) -> Result<(), sqlx::Error> {
        self.update_held(event, event.attempts, next_try)
            .await
            .map(drop)
    }

    /// Whether the event was still as it was read.
    async fn update_held(
        &self,
        event: &HeldEvent,
        attempts: u32,
        next_try: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let updated = sqlx::query(
            "UPDATE event_held SET attempts = $1, next_try = $2
             WHERE queue_group = $3 AND stream = $4 AND key = $5 AND version = $6 AND next_try = $7",
        )
        .bind(i64::from(attempts))
        .bind(nanos(next_try))
        .bind(self.queue_group.as_str())
        .bind(self.stream.as_str())
        .bind(event.key.as_str())
        .bind(event.version.to_sql())
        .bind(nanos(event.next_try))
        .execute(self.database.writer())
        .await?;
        Ok(updated.rows_affected() == 1)
    }

    /// Notes how often the event has failed, and when it is tried next.
    pub(crate) async fn postpone_held(
        &self,
        event: &HeldEvent,
        attempts: u32,
        next_try: Timestamp,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE event_held SET attempts = $1, next_try = $2
             WHERE queue_group = $3 AND stream = $4 AND key = $5 AND version = $6",
        )
        .bind(i64::from(attempts))
        .bind(nanos(next_try))
        .bind(self.queue_group.as_str())
        .bind(self.stream.as_str())
        .bind(event.key.as_str())
        .bind(event.version.to_sql())
        .execute(self.database.writer())
        .await
        .map(drop)
    }

    /// Holds the event no longer, nor any of its key that was applied meanwhile.
    pub(crate) async fn drop_held(&self, event: &HeldEvent) -> Result<(), sqlx::Error> {
        sqlx::query(
            "DELETE FROM event_held WHERE queue_group = $1 AND stream = $2 AND key = $3 AND (version = $4
                 OR version <= (SELECT g.version FROM event_guard g
                     WHERE g.queue_group = $1 AND g.stream = $2 AND g.key = $3))",
        )
        .bind(self.queue_group.as_str())
        .bind(self.stream.as_str())
        .bind(event.key.as_str())
        .bind(event.version.to_sql())
        .execute(self.database.writer())
        .await
        .map(drop)
    }

    /// Whether the event is still held, and nothing of its key was applied since it was read.
    pub(crate) async fn still_waits(&self, event: &HeldEvent) -> Result<bool, sqlx::Error> {
        let row = sqlx::query(select_held!(
            "h.key = $3 AND h.version = $4 AND g.version = $5"
        ))
        .bind(self.queue_group.as_str())
        .bind(self.stream.as_str())
        .bind(event.key.as_str())
        .bind(event.version.to_sql())
        .bind(event.applied)
        .fetch_optional(self.database.reader())
        .await?;
        Ok(row.is_some())
    }

    /// Makes it the event's turn: what comes before it can never come. `false`, and nothing has changed: something
    /// of its key was applied since it was read, and more may come.
    pub(crate) async fn rebase(&self, event: &HeldEvent) -> Result<bool, sqlx::Error> {
        let moved = sqlx::query(
            "UPDATE event_guard SET version = $1 - 1
             WHERE queue_group = $2 AND stream = $3 AND key = $4 AND version = $5",
        )
        .bind(event.version.to_sql())
        .bind(self.queue_group.as_str())
        .bind(self.stream.as_str())
        .bind(event.key.as_str())
        .bind(event.applied)
        .execute(self.database.writer())
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Passes over a version that is not to be applied. `false`: it is not its turn.
    pub(crate) async fn skip(&self, key: &Key, version: Version) -> Result<bool, sqlx::Error> {
        let sql = if version.previous().is_none() {
            "INSERT INTO event_guard (queue_group, stream, key, version) VALUES ($2, $3, $4, $1)
             ON CONFLICT (queue_group, stream, key) DO UPDATE SET version = excluded.version
             WHERE event_guard.version = 0"
        } else {
            "UPDATE event_guard SET version = $1
             WHERE queue_group = $2 AND stream = $3 AND key = $4 AND version = $1 - 1"
        };
        let mut tx = self.database.begin().await?;
        let moved = sqlx::query(sql)
            .bind(version.to_sql())
            .bind(self.queue_group.as_str())
            .bind(self.stream.as_str())
            .bind(key.as_str())
            .execute(tx.own_connection())
            .await?;
        let moved = moved.rows_affected() == 1;
        if moved {
            let (group, stream) = (self.queue_group, self.stream.as_str());
            let successor = version.next();
            guard::make_due(tx.own_connection(), group, stream, key, successor).await?;
        }
        tx.commit().await?;
        Ok(moved)
    }

    /// Forgets what was applied or tried more than `max_age` ago, and what is held though it was applied.
    /// Guards stay: they are what tells an old event for ever.
    pub(crate) async fn clean(&self, max_age: Duration) -> Result<(), sqlx::Error> {
        let old = ago(max_age);
        // The inbox is the group's, whatever the stream.
        self.delete_in_batches(
            "DELETE FROM event_inbox WHERE (queue_group, source, event_id) IN (
                 SELECT queue_group, source, event_id FROM event_inbox
                 WHERE queue_group = $1 AND applied_at < $2 LIMIT $3)",
            old,
            None,
        )
        .await?;
        self.delete_in_batches(
            "DELETE FROM event_attempts WHERE (queue_group, stream, sequence, stored_at) IN (
                 SELECT queue_group, stream, sequence, stored_at FROM event_attempts
                 WHERE queue_group = $1 AND tried_at < $2 AND stream = $4 LIMIT $3)",
            old,
            Some(self.stream),
        )
        .await?;
        self.delete_in_batches(
            "DELETE FROM event_held WHERE (queue_group, stream, key, version) IN (
                 SELECT h.queue_group, h.stream, h.key, h.version FROM event_held h JOIN event_guard g
                     ON g.queue_group = h.queue_group AND g.stream = h.stream AND g.key = h.key
                 WHERE h.queue_group = $1 AND h.held_at < $2 AND h.stream = $4
                     AND h.version <= g.version LIMIT $3)",
            Timestamp::now(),
            Some(self.stream),
        )
        .await
    }

    /// Runs a statement that takes group, age, number of rows and stream until it finds no more.
    async fn delete_in_batches(
        &self,
        sql: &'static str,
        before: Timestamp,
        stream: Option<StreamName>,
    ) -> Result<(), sqlx::Error> {
        loop {
            let mut query = sqlx::query(sql)
                .bind(self.queue_group.as_str())
                .bind(nanos(before))
                .bind(BATCH.cast_signed());
            if let Some(stream) = stream {
                query = query.bind(stream.as_str());
            }
            let deleted = query.execute(self.database.writer()).await?;
            if deleted.rows_affected() < BATCH {
                return Ok(());
            }
        }
    }
}

impl HeldEvent {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let sequence: i64 = row.try_get(6)?;
        let attempts: i64 = row.try_get(8)?;
        Ok(Self {
            channel: row.try_get(0)?,
            key: Key::new(row.try_get::<String, _>(1)?).map_err(unreadable)?,
            version: row.try_get::<i64, _>(2)?.try_into().map_err(unreadable)?,
            headers: serde_json::from_str(row.try_get(3)?).map_err(unreadable)?,
            payload: row.try_get::<String, _>(4)?.into(),
            position: Position {
                stream: row.try_get(5)?,
                sequence: sequence.cast_unsigned(),
                stored_at: moment(row.try_get(7)?),
            },
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            held_at: moment(row.try_get(9)?),
            next_try: moment(row.try_get(10)?),
            applied: row.try_get(11)?,
        })
    }
}

fn unreadable(err: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(err.into())
}

fn ago(age: Duration) -> Timestamp {
    Timestamp::now()
        .saturating_sub(age)
        .unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;
