use std::env;

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use tempfile::TempDir;
use uuid::Uuid;

use super::Database;
use crate::error::Chain;

/// Where the PostgreSQL server is that tests may use: `postgres://user:password@host:port`, without a database.
const SERVER: &str = "TEST_POSTGRES_URL";

/// A database for one test, which no other test sees.
///
/// It is an SQLite file, gone with this value. If `TEST_POSTGRES_URL` names a PostgreSQL server
/// (`postgres://user:password@host:port`), it is a database there, which stays: a server to be thrown away is
/// best.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use common::testing::ScratchDatabase;
///
/// const MIGRATIONS: &[&str] = &["CREATE TABLE tickets (id TEXT PRIMARY KEY)"];
///
/// let scratch = ScratchDatabase::create().await;
/// let database = scratch.open("tickets-service", MIGRATIONS).await;
/// let replica = scratch.open("tickets-service", MIGRATIONS).await;
/// # for database in [database, replica] {
/// #     database.ping().await?;
/// # }
/// # Ok::<(), sqlx::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ScratchDatabase {
    _folder: TempDir,
    url: String,
}

impl ScratchDatabase {
    /// A new one, without tables.
    ///
    /// # Panics
    ///
    /// If there is no folder for it, the server of `TEST_POSTGRES_URL` gives none, or none is named and
    /// the feature `sqlite` is off.
    pub async fn create() -> Self {
        let folder = given(TempDir::new(), "no folder for temporary files");
        let url = match env::var(SERVER) {
            Ok(server) if cfg!(feature = "postgres") => {
                let url = create_on(server.trim_end_matches('/')).await;
                given(url, "server of TEST_POSTGRES_URL gives no database")
            }
            _ if cfg!(feature = "sqlite") => {
                format!("sqlite://{}/new/scratch.db", folder.path().display())
            }
            _ => panic!("name a PostgreSQL server in {SERVER}, or turn on the feature `sqlite`"),
        };
        Self {
            _folder: folder,
            url,
        }
    }

    /// Where it is, for [`Database::connect`].
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens it as a replica of the service does: each call is one, with connections of its own.
    ///
    /// # Panics
    ///
    /// If it cannot be opened, or a migration fails.
    pub async fn open(&self, service: &str, migrations: &'static [&'static str]) -> Database {
        let database = Database::connect(&self.url).await;
        let database = given(database, "database cannot be opened");
        given(database.migrate(service, migrations).await, "no tables");
        database
    }
}

async fn create_on(server: &str) -> Result<String, sqlx::Error> {
    sqlx::any::install_default_drivers();
    let name = format!("test_{}", Uuid::now_v7().simple());
    let mut admin = AnyConnection::connect(&format!("{server}/postgres")).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut admin)
        .await?;
    admin.close().await?;
    Ok(format!("{server}/{name}"))
}

fn given<T, E: std::error::Error + 'static>(result: Result<T, E>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(err) => panic!("{what}: {}", Chain(&err)),
    }
}
