//! From a URL to pools of connections.

use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection as _};
use tokio::time::Instant;

use super::DatabaseError;

/// Readers of an SQLite file. Writing has a connection of its own: there is one writer at a time.
const READERS: u32 = 4;
/// Connections to PostgreSQL.
const CONNECTIONS: u32 = 16;
/// A connection to PostgreSQL that was idle for longer is asked whether it still lives.
const FRESH: Duration = Duration::from_secs(1);

/// What a path keeps of itself in a URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

/// How long the database is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For another process to release a lock on the file.
    pub(super) busy: Duration,
    /// For a connection of the pool, or a new one.
    pub(super) acquire: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            busy: Duration::from_secs(5),
            acquire: Duration::from_secs(10),
        }
    }
}

/// A database that this build knows to reach.
pub(super) enum Target {
    Sqlite(PathBuf),
    Postgres(AnyConnectOptions),
}

pub(super) struct Pools {
    pub(super) writer: AnyPool,
    pub(super) reader: AnyPool,
}

impl Target {
    /// Reads `sqlite://path` and `postgres://user:password@host/database`.
    pub(super) fn parse(url: &str) -> Result<Self, DatabaseError> {
        let unsupported = || DatabaseError::Unsupported {
            url: without_secrets(url),
        };
        if let Some(rest) = after_sqlite(url) {
            let path = file_named(rest).filter(|_| cfg!(feature = "sqlite"));
            return path.map(Self::Sqlite).ok_or_else(unsupported);
        }
        if !cfg!(feature = "postgres")
            || !(url.starts_with("postgres://") || url.starts_with("postgresql://"))
        {
            return Err(unsupported());
        }
        url.parse()
            .map(Self::Postgres)
            .map_err(|source| DatabaseError::Connect {
                url: without_secrets(url),
                source,
            })
    }

    /// Where the database is, without secrets.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::Postgres(options) => without_secrets(options.database_url.as_str()),
        }
    }

    /// Opens one connection, so that what is wrong is said as it is, and then the pools.
    pub(super) async fn connect(&self, patience: Patience) -> Result<Pools, DatabaseError> {
        sqlx::any::install_default_drivers();
        match self {
            Self::Sqlite(path) => {
                create_folder_of(path)?;
                let options = sqlite_options(path).map_err(|source| self.failed(source))?;
                open_sqlite(&options, patience)
                    .await
                    .map_err(|source| self.failed(source))?;
                Ok(Pools {
                    writer: sqlite_pool(1, options.clone(), patience, Access::Write),
                    reader: sqlite_pool(READERS, options, patience, Access::Read),
                })
            }
            Self::Postgres(options) => {
                within(patience.acquire, AnyConnection::connect_with(options))
                    .await
                    .map_err(|source| self.failed(source))?
                    .close()
                    .await
                    .map_err(|source| self.failed(source))?;
                let pool = postgres_pool(options.clone(), patience);
                Ok(Pools {
                    writer: pool.clone(),
                    reader: pool,
                })
            }
        }
    }

    fn failed(&self, source: sqlx::Error) -> DatabaseError {
        DatabaseError::Connect {
            url: self.shown(),
            source,
        }
    }
}

/// What an SQLite URL says behind its scheme. `None`: it is no SQLite URL.
fn after_sqlite(url: &str) -> Option<&str> {
    url.strip_prefix("sqlite://")
        .or_else(|| url.strip_prefix("sqlite:"))
}

/// The file that [`after_sqlite`] names. `None`: it names none, but memory.
fn file_named(rest: &str) -> Option<PathBuf> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() || path == ":memory:" || query.contains("mode=memory") {
        return None;
    }
    std::path::absolute(&*percent_decode_str(path).decode_utf8().ok()?).ok()
}

/// The URL with nothing that could be a secret: whom and where, or the scheme alone.
fn without_secrets(url: &str) -> String {
    let scheme = url.split(':').next().unwrap_or_default();
    if let Some(path) = after_sqlite(url).and_then(file_named) {
        return format!("sqlite://{}", path.display());
    }
    let parsed = url.parse::<AnyConnectOptions>().ok();
    let Some((url, host)) = parsed
        .as_ref()
        .and_then(|options| Some((&options.database_url, options.database_url.host_str()?)))
    else {
        return format!("{scheme}:…");
    };
    let user = match url.username() {
        "" => String::new(),
        user => format!("{user}@"),
    };
    let port = url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    format!("{scheme}://{user}{host}{port}{}", url.path())
}

fn create_folder_of(path: &Path) -> Result<(), DatabaseError> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|source| DatabaseError::Folder {
        path: folder.to_owned(),
        source,
    })
}

fn sqlite_options(path: &Path) -> Result<AnyConnectOptions, sqlx::Error> {
    let path = path.to_string_lossy();
    format!("sqlite://{}?mode=rwc", utf8_percent_encode(&path, PATH)).parse()
}

/// Creates the file and its write-ahead log. The first to do so locks out others for a moment, and
/// SQLite does not wait there.
async fn open_sqlite(options: &AnyConnectOptions, patience: Patience) -> Result<(), sqlx::Error> {
    let give_up = Instant::now() + patience.busy;
    loop {
        match try_open(options, patience).await {
            Err(err)
                if super::is_unavailable(&err) && is_busy(&err) && Instant::now() < give_up =>
            {
                // The other one needs a few writes to the disk.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            opened => return opened,
        }
    }
}

async fn try_open(options: &AnyConnectOptions, patience: Patience) -> Result<(), sqlx::Error> {
    let mut connection = within(patience.acquire, AnyConnection::connect_with(options)).await?;
    set_up_sqlite(&mut connection, patience.busy, Access::Write).await?;
    connection.close().await
}

/// `BUSY`, plain or extended.
fn is_busy(err: &sqlx::Error) -> bool {
    err.as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}

async fn within<T>(
    patience: Duration,
    connect: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(patience, connect)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}

#[derive(Debug, Clone, Copy)]
enum Access {
    Read,
    Write,
}

/// What every connection to an SQLite file is told first.
async fn set_up_sqlite(
    connection: &mut AnyConnection,
    busy: Duration,
    access: Access,
) -> Result<(), sqlx::Error> {
    let query_only = match access {
        Access::Read => "ON",
        Access::Write => "OFF",
    };
    // FULL: what is committed survives a power cut, as the outbox promises.
    sqlx::raw_sql(AssertSqlSafe(format!(
        "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         PRAGMA foreign_keys = ON; PRAGMA query_only = {query_only};",
        busy.as_millis()
    )))
    .execute(connection)
    .await
    .map(drop)
}

fn sqlite_pool(
    connections: u32,
    options: AnyConnectOptions,
    patience: Patience,
    access: Access,
) -> AnyPool {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience.acquire)
        .idle_timeout(None)
        .max_lifetime(None)
        // A file does not hang up.
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            Box::pin(set_up_sqlite(connection, patience.busy, access))
        })
        // When SQLite rolls back by itself (disk full, I/O error) sqlx does not notice, believes the
        // transaction open, and would begin the next one inside it (sqlx #3742). Such a connection is closed.
        .after_release(|connection, _| {
            Box::pin(async move {
                if connection.is_in_transaction() {
                    // A roll-back may still be on its way; the ping comes after it.
                    connection.ping().await?;
                }
                Ok(!connection.is_in_transaction())
            })
        })
        .connect_lazy_with(options)
}

fn postgres_pool(options: AnyConnectOptions, patience: Patience) -> AnyPool {
    AnyPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(patience.acquire)
        // A question per transaction would be a round trip per transaction.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn shown(url: &str, expected: &str) {
        assert_eq!(without_secrets(url), expected);
    }

    #[test]
    fn password_is_never_shown() {
        shown(
            "postgres://ann:secret@db:5433/tickets?password=secret",
            "postgres://ann@db:5433/tickets",
        );
        shown("postgres://db/tickets", "postgres://db/tickets");
        shown("postgres://ann:sec/ret@db/tickets", "postgres:…");
        shown("postgres:secret", "postgres:…");
        shown("secret", "secret:…");
        shown("sqlite:///tmp/a.db?x=secret", "sqlite:///tmp/a.db");
    }

    #[test]
    fn sqlite_url_names_a_file() {
        let path = |url| file_named(after_sqlite(url).unwrap());
        assert_eq!(path("sqlite:///tmp/a b.db"), Some("/tmp/a b.db".into()));
        assert_eq!(path("sqlite:///tmp/a%20b.db"), Some("/tmp/a b.db".into()));
        assert!(path("sqlite://data/a.db").unwrap().ends_with("data/a.db"));
        assert!(path("sqlite:data/a.db?mode=rwc").unwrap().is_absolute());
        for memory in [
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite://",
            "sqlite:a?mode=memory",
        ] {
            assert_eq!(path(memory), None, "{memory}");
        }
        assert_eq!(after_sqlite("postgres://db/a"), None);
    }
}
