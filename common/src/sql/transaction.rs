use jiff::Timestamp;
use sqlx::AnyConnection;

use crate::event::Event;
use crate::headers::Headers;
use crate::publisher::{PublishError, Publisher};

/// A transaction, and the outbox in it: what is published here is published if, and only if, the
/// transaction commits.
///
/// Dropped without [`commit`](Self::commit), it is rolled back.
#[derive(Debug)]
pub struct Tx<'t> {
    inner: sqlx::Transaction<'t, sqlx::Any>,
}

impl Tx<'_> {
    /// For statements of one's own: `sqlx::query("..").execute(tx.connection())`.
    pub fn connection(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }

    /// Makes everything durable, and wakes the relay if something was published.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if it did not commit, or is not known to have.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        todo!()
    }

    /// Undoes everything.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if the database is gone, which undoes everything too.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        self.inner.rollback().await
    }

    /// Publishes the event for the moment `due`, with the commit. See `JetStreamPublisher::publish_at`.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if the outbox does not take the event.
    pub async fn publish_at<E: Event>(
        &mut self,
        _event: &E,
        _due: Timestamp,
    ) -> Result<(), PublishError> {
        todo!()
    }
}

impl Publisher for Tx<'_> {
    type Receipt = ();

    async fn publish_with<E: Event>(
        &mut self,
        _event: &E,
        _headers: &Headers,
    ) -> Result<(), PublishError> {
        todo!()
    }
}
