use std::mem;

use jiff::Timestamp;
use sqlx::{AnyConnection, Transaction};
use tokio::sync::watch;

use super::{Backend, outbox};
#[cfg(feature = "postgres")]
use crate::error::Chain;
use crate::event::Event;
use crate::headers::Headers;
use crate::message::Outgoing;
use crate::publisher::{PublishError, Publisher, assert_scheduled, check_due};

/// A transaction, and the outbox in it: what is published here is published if, and only if, the
/// transaction commits.
///
/// Dropped without [`commit`](Self::commit), it is rolled back. After an error of the database,
/// return it and begin again: SQLite may have rolled back by itself, and what is written after that
/// stays; PostgreSQL does nothing more in the transaction, and [`commit`](Self::commit) fails. After an
/// error of `publish` the transaction does not commit any more, so that no change is stored whose
/// event is missing.
#[derive(Debug)]
#[must_use = "what is done in a transaction is undone unless it is committed"]
pub struct Tx<'t> {
    inner: Transaction<'t, sqlx::Any>,
    backend: Backend,
    committed: watch::Sender<()>,
    published: Published,
    /// Whether statements of the caller's have run since the last of ours that succeeded.
    unchecked: bool,
}

/// What the transaction has in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Published {
    Nothing,
    Events,
    /// At least one event is missing.
    Incomplete,
}

impl<'t> Tx<'t> {
    pub(super) fn new(
        inner: Transaction<'t, sqlx::Any>,
        backend: Backend,
        committed: watch::Sender<()>,
    ) -> Self {
        Self {
            inner,
            backend,
            committed,
            published: Published::Nothing,
            unchecked: false,
        }
    }

    /// Ends the transaction with its connection. PostgreSQL refuses a stale statement each time, and
    /// through `sqlx::Any` a connection cannot be told to prepare its statements anew.
    #[cfg(feature = "postgres")]
    pub(super) async fn end_connection(mut self) {
        let end = "ROLLBACK; SELECT pg_terminate_backend(pg_backend_pid())";
        let ended = sqlx::raw_sql(end).execute(&mut *self.inner).await;
        if let Err(err) = ended {
            // As it should be: whoever is terminated does not answer.
            tracing::debug!(error = %Chain(&err), "connection with a stale statement ended");
        }
    }

    /// For statements of this crate, whose errors the caller of this function does not swallow.
    pub(super) fn own_connection(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}

impl Tx<'_> {
    /// For statements of one's own: `sqlx::query("..").execute(tx.connection())`.
    pub fn connection(&mut self) -> &mut AnyConnection {
        self.unchecked = true;
        &mut self.inner
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Makes everything durable, and wakes the relay if something was published.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if it did not commit, or is not known to have. After a `publish` that failed
    /// it is [`InvalidArgument`](sqlx::Error::InvalidArgument), and nothing was committed. After a
    /// statement that failed, PostgreSQL has stored nothing and says so (25P02), whether or not the
    /// statement's error was looked at.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        if self.published == Published::Incomplete {
            self.inner.rollback().await?;
            return Err(sqlx::Error::InvalidArgument(
                "an event of the transaction could not be published, so nothing was committed"
                    .to_owned(),
            ));
        }
        if let Err(aborted) = self.check().await {
            // What was wrong first is what matters. A connection that cannot roll back is closed.
            drop(self.inner.rollback().await);
            return Err(aborted);
        }
        let committed = self.inner.commit().await;
        if self.published == Published::Events {
            // Even an error may have committed.
            self.committed.send_replace(());
        }
        committed
    }

    /// Fails if PostgreSQL has given the transaction up: it answers `COMMIT` with a roll-back then, and
    /// no error. A statement of ours that came last has shown already that it has not, so that only a
    /// transaction that ends with the caller's own statements is asked.
    async fn check(&mut self) -> Result<(), sqlx::Error> {
        if !self.unchecked || self.backend != Backend::Postgres {
            return Ok(());
        }
        sqlx::query("SELECT 1")
            .execute(&mut *self.inner)
            .await
            .map(drop)
    }

    /// Undoes everything.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if the database is gone, which undoes everything too.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        self.inner.rollback().await
    }

    /// Publishes the event for the moment `due`, with the commit. A moment that has passed by then is
    /// now. See [`JetStreamPublisher::publish_at`](crate::JetStreamPublisher::publish_at).
    ///
    /// # Errors
    ///
    /// [`PublishError::DueTooLate`] if the stream does not keep messages until then (30 days), and any
    /// other [`PublishError`] if the outbox does not take the event.
    pub async fn publish_at<E: Event>(
        &mut self,
        event: &E,
        due: Timestamp,
    ) -> Result<(), PublishError> {
        const { assert_scheduled::<E>() };
        let encoded = Outgoing::encode(event, &Headers::new()).and_then(|outgoing| {
            check_due(&outgoing, due, Timestamp::now())?;
            Ok(outgoing)
        });
        self.write(encoded, Some(due)).await
    }

    async fn write(
        &mut self,
        encoded: Result<Outgoing, PublishError>,
        due: Option<Timestamp>,
    ) -> Result<(), PublishError> {
        // Until the row is written the event is missing, also if this future is dropped half-way.
        let before = mem::replace(&mut self.published, Published::Incomplete);
        outbox::insert(&mut self.inner, &encoded?, due).await?;
        self.unchecked = false;
        if before != Published::Incomplete {
            self.published = Published::Events;
        }
        Ok(())
    }
}

impl Publisher for Tx<'_> {
    type Receipt = ();

    async fn publish_with<E: Event>(
        &mut self,
        event: &E,
        headers: &Headers,
    ) -> Result<(), PublishError> {
        let encoded = Outgoing::encode(event, headers);
        self.write(encoded, None).await
    }
}
