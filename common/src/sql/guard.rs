//! Which events a queue group has applied: the inbox, the version guard, and what it holds back.

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::{Order, nanos};
use crate::cloud_events as ce;
use crate::failure::Failure;
use crate::headers::Headers;
use crate::message::Incoming;
use crate::name::{Key, QueueGroup};
use crate::version::Version;

/// One event on its way into the database of a queue group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'i> {
    pub(super) group: QueueGroup,
    pub(super) stream: &'static str,
    pub(super) incoming: &'i Incoming,
}

/// What the guard says of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is this event's turn, and the guard has moved.
    Now {
        /// Whether a copy of it may be held.
        held: bool,
        /// Whether a later version may be held.
        successor: bool,
    },
    /// The version, or a later one that does, was applied before.
    Passed,
    /// A predecessor is missing.
    Early,
}

impl Turn {
    const NOTHING_HELD: Self = Self::Now {
        held: false,
        successor: false,
    };
}

impl Candidate<'_> {
    fn key(&self) -> &str {
        self.incoming.metadata.key().as_str()
    }

    /// Moves the guard to the version, if it is its turn, and keeps it locked until the transaction ends.
    pub(super) async fn take_turn(
        &self,
        connection: &mut AnyConnection,
        order: Order,
        version: Version,
    ) -> Result<Turn, sqlx::Error> {
        match order {
            Order::Any => Ok(Turn::NOTHING_HELD),
            Order::NewestOnly => self.overtake(connection, version).await,
            Order::EveryVersion => {
                if let Some(turn) = self.follow(connection, version).await? {
                    return Ok(turn);
                }
                let last = self.lock(connection, version).await?;
                if version.to_sql() <= last {
                    return Ok(Turn::Passed);
                }
                // The predecessor may have been applied while this waited for the lock.
                let turn = self.follow(connection, version).await?;
                Ok(turn.unwrap_or(Turn::Early))
            }
        }
    }

    /// Moves the guard from the version before. `None`: it does not stand there.
    async fn follow(
        &self,
        connection: &mut AnyConnection,
        version: Version,
    ) -> Result<Option<Turn>, sqlx::Error> {
        let sql = if version.previous().is_none() {
            "INSERT INTO event_guard (queue_group, stream, key, version) VALUES ($1, $2, $3, $4)
             ON CONFLICT (queue_group, stream, key) DO UPDATE SET version = excluded.version
             WHERE event_guard.version = 0 RETURNING highest_held"
        } else {
            "UPDATE event_guard SET version = $4
             WHERE queue_group = $1 AND stream = $2 AND key = $3 AND version = $4 - 1
             RETURNING highest_held"
        };
        let highest_held: Option<i64> = sqlx::query_scalar(sql)
            .bind(self.group.as_str())
            .bind(self.stream)
            .bind(self.key())
            .bind(version.to_sql())
            .fetch_optional(connection)
            .await?;
        Ok(highest_held.map(|highest| Turn::Now {
            held: highest >= version.to_sql(),
            successor: highest > version.to_sql(),
        }))
    }

    /// Locks the guard, notes that this version may be held, and reads the last version applied: 0 is none.
    async fn lock(
        &self,
        connection: &mut AnyConnection,
        version: Version,
    ) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(
            "INSERT INTO event_guard (queue_group, stream, key, version, highest_held)
             VALUES ($1, $2, $3, 0, $4)
             ON CONFLICT (queue_group, stream, key) DO UPDATE SET highest_held =
                 CASE WHEN event_guard.highest_held < excluded.highest_held
                 THEN excluded.highest_held ELSE event_guard.highest_held END
             RETURNING version",
        )
        .bind(self.group.as_str())
        .bind(self.stream)
        .bind(self.key())
        .bind(version.to_sql())
        .fetch_one(connection)
        .await
    }

    /// Moves the guard forward, over any gap.
    async fn overtake(
        &self,
        connection: &mut AnyConnection,
        version: Version,
    ) -> Result<Turn, sqlx::Error> {
        let moved = sqlx::query(
            "INSERT INTO event_guard (queue_group, stream, key, version) VALUES ($1, $2, $3, $4)
             ON CONFLICT (queue_group, stream, key) DO UPDATE SET version = excluded.version
             WHERE event_guard.version < excluded.version",
        )
        .bind(self.group.as_str())
        .bind(self.stream)
        .bind(self.key())
        .bind(version.to_sql())
        .execute(connection)
        .await?;
        Ok(if moved.rows_affected() == 0 {
            Turn::Passed
        } else {
            Turn::NOTHING_HELD
        })
    }

    /// Notes that the event is applied. `false`: it was before.
    pub(super) async fn enter_inbox(
        &self,
        connection: &mut AnyConnection,
    ) -> Result<bool, sqlx::Error> {
        let metadata = &self.incoming.metadata;
        let entered = sqlx::query(
            "INSERT INTO event_inbox (queue_group, source, event_id, applied_at)
             VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(self.group.as_str())
        // Encoded, for PostgreSQL takes no NUL, and a source or an id may be anything.
        .bind(&*ce::encode(metadata.source()))
        .bind(&*ce::encode(metadata.id()))
        .bind(nanos(Timestamp::now()))
        .execute(connection)
        .await?;
        Ok(entered.rows_affected() == 1)
    }

    /// Whether the event is noted as applied.
    pub(super) async fn is_in_inbox(
        &self,
        connection: &mut AnyConnection,
    ) -> Result<bool, sqlx::Error> {
        let metadata = &self.incoming.metadata;
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT applied_at FROM event_inbox WHERE queue_group = $1 AND source = $2 AND event_id = $3",
        )
        .bind(self.group.as_str())
        .bind(&*ce::encode(metadata.source()))
        .bind(&*ce::encode(metadata.id()))
        .fetch_optional(connection)
        .await?;
        Ok(found.is_some())
    }

    /// Stores the event until its predecessors have been applied. `false`: another is stored under its version.
    pub(super) async fn hold(
        &self,
        connection: &mut AnyConnection,
        version: Version,
    ) -> Result<bool, Failure> {
        let metadata = &self.incoming.metadata;
        // RFC 8259, section 8.1: JSON between systems is UTF-8.
        let payload = str::from_utf8(&self.incoming.payload).map_err(Failure::reject)?;
        let headers = serde_json::to_string(metadata.headers())?;
        let stored = sqlx::query(
            "INSERT INTO event_held (queue_group, stream, key, version, channel, headers, payload, \
             sequence, stored_at, held_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT DO NOTHING",
        )
        .bind(self.group.as_str())
        .bind(self.stream)
        .bind(self.key())
        .bind(version.to_sql())
        .bind(metadata.channel())
        .bind(headers)
        .bind(payload)
        .bind(metadata.sequence().cast_signed())
        .bind(nanos(metadata.stored_at()))
        .bind(nanos(Timestamp::now()))
        .execute(&mut *connection)
        .await?;
        if stored.rows_affected() == 1 {
            return Ok(true);
        }
        let held = self.headers_held(connection, version).await?;
        Ok(held.is_none_or(|held| {
            held.get(ce::ID.as_ref()) == metadata.headers().get(ce::ID.as_ref())
        }))
    }

    /// The headers of what is held under this version.
    async fn headers_held(
        &self,
        connection: &mut AnyConnection,
        version: Version,
    ) -> Result<Option<Headers>, Failure> {
        let headers: Option<String> = sqlx::query_scalar(
            "SELECT headers FROM event_held
             WHERE queue_group = $1 AND stream = $2 AND key = $3 AND version = $4",
        )
        .bind(self.group.as_str())
        .bind(self.stream)
        .bind(self.key())
        .bind(version.to_sql())
        .fetch_optional(connection)
        .await?;
        let headers = headers.as_deref().map(serde_json::from_str);
        Ok(headers.transpose()?)
    }

    /// Makes the successor due, if it is held.
    pub(super) async fn make_successor_due(
        &self,
        connection: &mut AnyConnection,
        version: Version,
    ) -> Result<(), sqlx::Error> {
        let key = self.incoming.metadata.key();
        make_due(connection, self.group, self.stream, key, version.next()).await
    }

    /// Forgets the copy that is held.
    pub(super) async fn release(
        &self,
        connection: &mut AnyConnection,
        version: Version,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "DELETE FROM event_held
             WHERE queue_group = $1 AND stream = $2 AND key = $3 AND version = $4",
        )
        .bind(self.group.as_str())
        .bind(self.stream)
        .bind(self.key())
        .bind(version.to_sql())
        .execute(connection)
        .await
        .map(drop)
    }
}

/// Makes a held version due: it is its turn now, and while it was not, looking at it again may have
/// been put off.
pub(super) async fn make_due(
    connection: &mut AnyConnection,
    group: QueueGroup,
    stream: &str,
    key: &Key,
    version: Version,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE event_held SET next_try = 0
         WHERE queue_group = $1 AND stream = $2 AND key = $3 AND version = $4 AND next_try <> 0",
    )
    .bind(group.as_str())
    .bind(stream)
    .bind(key.as_str())
    .bind(version.to_sql())
    .execute(connection)
    .await
    .map(drop)
}
