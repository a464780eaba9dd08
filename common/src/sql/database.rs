use std::path::PathBuf;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyPool, SqlSafeStr as _};
use tokio::sync::watch;

use super::connect::{Patience, Pools, Target};
use super::transaction::Tx;
use super::{GroupLedger, HeldEvents, outbox};
use crate::name::{Key, QueueGroup, StreamName};
use crate::version::Version;

/// A service's database: one writer and a pool of readers on SQLite, a pool on PostgreSQL.
///
/// Cheap to clone; clones share the pools. SQLite waits up to 5 s for another process to release
/// its lock, and a caller up to 10 s for a connection.
#[derive(Debug, Clone)]
pub struct Database {
    writer: AnyPool,
    reader: AnyPool,
    backend: Backend,
    committed: watch::Sender<()>,
    #[cfg(feature = "postgres")]
    url: std::sync::Arc<Url>,
}

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// SQLite, in a file.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// May hold a password, and is never shown.
#[cfg(feature = "postgres")]
struct Url(String);

#[cfg(feature = "postgres")]
impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Url(…)")
    }
}

impl Database {
    /// Connects, creates the file and its folder if they are missing, and brings the tables of this
    /// crate up to date (their names begin with `event_`).
    ///
    /// `url` is `sqlite://path/to/file.db` or `postgres://user:password@host/database`.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if the database is out of reach or its tables cannot be brought up to date.
    pub async fn connect(url: &str) -> Result<Self, DatabaseError> {
        Self::connect_with(url, Patience::default()).await
    }

    pub(super) async fn connect_with(url: &str, patience: Patience) -> Result<Self, DatabaseError> {
        let target = Target::parse(url)?;
        let Pools { writer, reader } = target.connect(patience).await?;
        let (backend, outbox) = match target {
            Target::Sqlite(_) => (Backend::Sqlite, include_str!("schema/outbox.sqlite.sql")),
            Target::Postgres(_) => (
                Backend::Postgres,
                include_str!("schema/outbox.postgres.sql"),
            ),
        };
        let database = Self {
            writer,
            reader,
            backend,
            committed: watch::Sender::new(()),
            #[cfg(feature = "postgres")]
            url: std::sync::Arc::new(Url(url.to_owned())),
        };
        let migrations = [outbox, include_str!("schema/events.sql")];
        database
            .apply("event_migrations".to_owned(), &migrations)
            .await?;
        Ok(database)
    }

    /// Applies the service's own migrations, once each, in order, and notes them in a table of their
    /// own: `migrations_of_<service>`.
    ///
    /// The statements run on both databases unless they are given apart. Migrations that a newer
    /// replica has applied and this one does not know are left alone, so that replicas of two
    /// releases can start in any order.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Migrate`] if a migration fails or one that was applied has changed since.
    pub async fn migrate(
        &self,
        service: &str,
        migrations: &'static [&'static str],
    ) -> Result<(), DatabaseError> {
        let service: String = service
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '_'
                }
            })
            .collect();
        self.apply(format!("migrations_of_{service}"), migrations)
            .await
    }

    async fn apply(&self, table: String, migrations: &[&'static str]) -> Result<(), DatabaseError> {
        let migrations = (1..)
            .zip(migrations)
            .map(|(number, sql)| {
                let sql = sql.into_sql_str();
                Migration::new(number, "".into(), MigrationType::Simple, sql, false)
            })
            .collect();
        let mut migrator = Migrator::with_migrations(migrations);
        migrator.set_ignore_missing(true);
        migrator.dangerous_set_table_name(table);
        self.run(&migrator).await.map_err(DatabaseError::Migrate)
    }

    async fn run(&self, migrator: &Migrator) -> Result<(), sqlx::migrate::MigrateError> {
        match self.backend {
            // sqlx has no lock for SQLite: without this transaction two processes that start
            // together would both apply.
            Backend::Sqlite => {
                let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
                migrator.run_direct(None, &mut *transaction, false).await?;
                transaction.commit().await?;
            }
            Backend::Postgres => {
                let mut connection = self.writer.acquire().await?;
                let migrated = migrator.run_direct(None, &mut *connection, false).await;
                if migrated.is_err() {
                    // The lock belongs to the session, and would outlive the failure in the pool.
                    connection.close_on_drop();
                }
                migrated?;
            }
        }
        Ok(())
    }

    /// Begins a transaction that may write. On SQLite it is the only one until it ends.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if the database is out of reach or stays locked.
    pub async fn begin(&self) -> Result<Tx<'static>, sqlx::Error> {
        let transaction = match self.backend {
            Backend::Sqlite => self.writer.begin_with("BEGIN IMMEDIATE").await?,
            Backend::Postgres => self.writer.begin().await?,
        };
        Ok(Tx::new(transaction, self.backend, self.committed.clone()))
    }

    /// For reading outside a transaction. On SQLite its connections refuse to write.
    #[must_use]
    pub fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Whether the database answers.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if it does not.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1")
            .execute(&self.reader)
            .await
            .map(drop)
    }

    /// How many events wait in the outbox to be published.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if the database is out of reach.
    pub async fn pending_events(&self) -> Result<u64, sqlx::Error> {
        outbox::len(&self.reader).await
    }

    /// How many events a queue group holds until what comes before them has been applied, and since when.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if the database is out of reach.
    pub async fn held_events(&self, queue_group: QueueGroup) -> Result<HeldEvents, sqlx::Error> {
        HeldEvents::count(&self.reader, queue_group).await
    }

    /// Passes over a version of a key that a queue group is never to apply: the explicit loss of a
    /// dead letter that will not be redriven. Its successors, held until now, follow within ten seconds.
    ///
    /// `false`: it is not this version's turn, and nothing has changed.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if the database is out of reach.
    pub async fn skip_version(
        &self,
        queue_group: QueueGroup,
        stream: StreamName,
        key: &Key,
        version: Version,
    ) -> Result<bool, sqlx::Error> {
        let ledger = GroupLedger {
            database: self.clone(),
            queue_group,
            stream,
        };
        ledger.skip(key, version).await
    }

    /// Whether both are one connection's clones. Connected twice, the same database counts as two: a commit
    /// through the one would not wake the relay of the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.committed.same_channel(&other.committed)
    }

    /// For single statements that write.
    pub(super) fn writer(&self) -> &AnyPool {
        &self.writer
    }

    /// Changes with every commit in this process that published.
    pub(super) fn committed(&self) -> &watch::Sender<()> {
        &self.committed
    }

    #[cfg(feature = "postgres")]
    pub(super) fn url(&self) -> &str {
        &self.url.0
    }
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The URL names no file of SQLite and no database of PostgreSQL, or the feature is off.
    #[error(
        "`{url}` is no database that this program can use: sqlite://path/to/file.db, postgres://user:password@host/database"
    )]
    Unsupported {
        /// What was given, without the password.
        url: String,
    },
    /// The folder of the database's file could not be created.
    #[error("folder `{}` could not be created", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database could not be opened or reached.
    #[error("database `{url}` is out of reach")]
    Connect {
        /// Where it should be, without the password.
        url: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The tables could not be brought up to date.
    #[error("database tables could not be brought up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;
