//! Wakes the relay when another process has committed.

use std::convert::Infallible;

use super::super::{Backend, Database};
use super::Pace;
use crate::error::Chain;

/// Never returns.
pub(super) async fn watch(database: &Database, pace: Pace) {
    loop {
        let Err(err) = match database.backend() {
            Backend::Sqlite => poll(database, pace).await,
            Backend::Postgres => listen(database).await,
        };
        // The outbox is read every few seconds in any case.
        tracing::debug!(error = %Chain(&err), "other processes go unnoticed for a moment");
        tokio::time::sleep(pace.retry).await;
    }
}

/// Asks the file for its version, which another connection's commit changes.
async fn poll(database: &Database, pace: Pace) -> Result<Infallible, sqlx::Error> {
    // Its own connection: the version is told apart from the one that this connection saw last.
    let mut connection = database.reader().acquire().await?.detach();
    let mut seen = None;
    loop {
        let version: i64 = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&mut connection)
            .await?;
        if seen.replace(version) != Some(version) {
            database.committed().send_replace(());
        }
        // SQLite tells nobody: whoever wants to know asks again.
        tokio::time::sleep(pace.siblings).await;
    }
}

#[cfg(feature = "postgres")]
async fn listen(database: &Database) -> Result<Infallible, sqlx::Error> {
    let mut listener = sqlx::postgres::PgListener::connect(database.url()).await?;
    listener.listen("event_outbox").await?;
    loop {
        // Also when the connection was lost, for something may have been missed, and at the start.
        database.committed().send_replace(());
        listener.try_recv().await?;
    }
}

#[cfg(not(feature = "postgres"))]
async fn listen(_: &Database) -> Result<Infallible, sqlx::Error> {
    std::future::pending().await
}
