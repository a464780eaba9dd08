use sqlx::AnyPool;

use super::Tx;

/// A service's database: one writer and a pool of readers on SQLite, a pool on PostgreSQL.
///
/// Cheap to clone; clones share the pools.
#[derive(Debug, Clone)]
pub struct Database {
    writer: AnyPool,
    reader: AnyPool,
    backend: Backend,
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

impl Database {
    /// Connects, creates the file if it is missing, and brings the tables of this crate up to date.
    ///
    /// `url` is `sqlite://path/to/file.db` or `postgres://user:password@host/database`.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if the database is out of reach or its tables cannot be brought up to date.
    pub async fn connect(_url: &str) -> Result<Self, DatabaseError> {
        todo!()
    }

    /// Applies the service's own migrations, once each, in order. The name is the service's, and
    /// the statements run on both databases unless they are given apart.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if a migration fails or one that was applied has changed since.
    pub async fn migrate(
        &self,
        _service: &str,
        _migrations: &'static [&'static str],
    ) -> Result<(), DatabaseError> {
        todo!()
    }

    /// Begins a transaction that may write. On SQLite it is the only one until it ends.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if the database is out of reach or stays locked.
    pub async fn begin(&self) -> Result<Tx<'static>, sqlx::Error> {
        todo!()
    }

    /// For reading outside a transaction.
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
        todo!()
    }
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
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
