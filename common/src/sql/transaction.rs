use std::mem;

use jiff::Timestamp;
use sqlx::{AnyConnection, Transaction};
use tokio::sync::watch;

use super::{Backend, outbox};
use crate::event::Event;
use crate::headers::Headers;
use crate::message::Outgoing;
use crate::publisher::{PublishError, Publisher, assert_scheduled};

/// A transaction, and the outbox in it: what is published here is published if, and only if, the
/// transaction commits.
///
/// Dropped without [`commit`](Self::commit), it is rolled back. After an error of the database,
/// return it and begin again: SQLite may have rolled back by itself, and what is written after that
/// stays. After an error of `publish` the transaction does not commit any more, so that no change is
/// stored whose event is missing.
#[derive(Debug)]
pub struct Tx<'t> {
    inner: Transaction<'t, sqlx::Any>,
    backend: Backend,
    committed: watch::Sender<()>,
    published: Published,
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
        }
    }
}

impl Tx<'_> {
    /// For statements of one's own: `sqlx::query("..").execute(tx.connection())`.
    pub fn connection(&mut self) -> &mut AnyConnection {
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
    /// it is [`InvalidArgument`](sqlx::Error::InvalidArgument), and nothing was committed.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        if self.published == Published::Incomplete {
            self.inner.rollback().await?;
            return Err(sqlx::Error::InvalidArgument(
                "an event of the transaction could not be published, so nothing was committed"
                    .to_owned(),
            ));
        }
        let committed = self.inner.commit().await;
        if self.published == Published::Events {
            // Even an error may have committed.
            self.committed.send_replace(());
        }
        committed
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
    /// [`PublishError`] if the outbox does not take the event.
    pub async fn publish_at<E: Event>(
        &mut self,
        event: &E,
        due: Timestamp,
    ) -> Result<(), PublishError> {
        const { assert_scheduled::<E>() };
        let encoded = Outgoing::encode(event, &Headers::new());
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
