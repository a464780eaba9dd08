use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;

use super::super::{Database, nanos};

/// The lease's name in its table.
pub(in crate::sql) const NAME: &str = "outbox";

/// The right to relay, until it expires or its epoch is over.
///
/// By the clocks of the replicas: if they differ by more than the lease lasts, two may relay at
/// once, which costs duplicates and nothing else.
#[derive(Debug)]
pub(super) struct Lease {
    holder: String,
    epoch: i64,
    lasts: Duration,
    expires_at: Timestamp,
}

impl Lease {
    /// Takes the lease. `None`: somebody else has it.
    pub(super) async fn take(
        database: &Database,
        holder: &str,
        lasts: Duration,
    ) -> Result<Option<Self>, sqlx::Error> {
        let now = Timestamp::now();
        // Whoever has set it so far ahead has another clock, and may be long dead.
        let absurd = nanos(later(now, lasts * 2));
        let expires_at = later(now, lasts);
        let current = sqlx::query("SELECT holder, expires_at FROM event_lease WHERE name = $1")
            .bind(NAME)
            .fetch_optional(database.reader())
            .await?;
        if let Some(current) = current {
            let other = current.try_get::<String, _>(0)? != holder;
            let expires: i64 = current.try_get(1)?;
            if other && expires > nanos(now) && expires <= absurd {
                return Ok(None);
            }
        }
        let mut taken: Vec<i64> = sqlx::query_scalar(
            "INSERT INTO event_lease (name, holder, expires_at, epoch) VALUES ($1, $2, $3, 1)
             ON CONFLICT (name) DO UPDATE SET
                 holder = excluded.holder, expires_at = excluded.expires_at, epoch = event_lease.epoch + 1
             WHERE event_lease.holder = excluded.holder
                 OR event_lease.expires_at <= $4 OR event_lease.expires_at > $5
             RETURNING epoch",
        )
        .bind(NAME)
        .bind(holder)
        .bind(nanos(expires_at))
        .bind(nanos(now))
        .bind(absurd)
        .fetch_all(database.writer())
        .await?;
        Ok(taken.pop().map(|epoch| Self {
            holder: holder.to_owned(),
            epoch,
            lasts,
            expires_at,
        }))
    }

    /// Differs from every other holder's, earlier or later.
    pub(super) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether it lasts still. A process that slept finds that it does not.
    pub(super) fn lives(&self) -> bool {
        Timestamp::now() < self.expires_at
    }

    /// How long until it should be renewed: with two thirds left.
    pub(super) fn renew_in(&self) -> Duration {
        let renew_at = later(self.expires_at, Duration::ZERO)
            .duration_since(Timestamp::now())
            .saturating_sub(SignedDuration::try_from(self.lasts * 2 / 3).unwrap_or_default());
        Duration::try_from(renew_at).unwrap_or_default()
    }

    /// Renews it. `false`: another has it now.
    pub(super) async fn renew(&mut self, database: &Database) -> Result<bool, sqlx::Error> {
        let expires_at = later(Timestamp::now(), self.lasts);
        if !self.expire(database, expires_at).await? {
            return Ok(false);
        }
        self.expires_at = expires_at;
        Ok(true)
    }

    /// Gives it back, so that nobody waits for it to expire.
    pub(super) async fn release(self, database: &Database) -> Result<(), sqlx::Error> {
        self.expire(database, Timestamp::UNIX_EPOCH).await.map(drop)
    }

    async fn expire(&self, database: &Database, at: Timestamp) -> Result<bool, sqlx::Error> {
        let changed = sqlx::query(
            "UPDATE event_lease SET expires_at = $1 WHERE name = $2 AND holder = $3 AND epoch = $4",
        )
        .bind(nanos(at))
        .bind(NAME)
        .bind(self.holder.as_str())
        .bind(self.epoch)
        .execute(database.writer())
        .await?;
        Ok(changed.rows_affected() == 1)
    }
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    moment.saturating_add(by).unwrap_or(Timestamp::MAX)
}
