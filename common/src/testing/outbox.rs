use jiff::Timestamp;
use sqlx::Row as _;

use super::Published;
use crate::Database;
use crate::event::Event;
use crate::headers::Headers;

/// What a service has published in committed transactions, oldest first: the rows of its outbox that no
/// relay has sent. In a test without a relay that is everything.
///
/// # Panics
///
/// If the database cannot be read.
pub async fn outbox(database: &Database) -> Vec<Unsent> {
    let rows = sqlx::query(
        "SELECT channel, key, headers, payload, due FROM event_outbox ORDER BY position",
    )
    .fetch_all(database.reader())
    .await;
    let unsent: Result<Vec<_>, _> = match rows {
        Ok(rows) => rows.iter().map(Unsent::read).collect(),
        Err(err) => panic!("outbox cannot be read: {err}"),
    };
    match unsent {
        Ok(unsent) => unsent,
        Err(err) => panic!("outbox has a row that this crate did not write: {err}"),
    }
}

/// An event that waits in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// The event as it will stand on the wire.
    pub message: Published,
    /// When it is to be delivered; `None` is now.
    pub due: Option<Timestamp>,
}

impl Unsent {
    /// The event, if it is one of the channel of `E`.
    ///
    /// # Panics
    ///
    /// If it is one of that channel and cannot be read as an `E`.
    #[must_use]
    #[track_caller]
    pub fn event<E: Event>(&self) -> Option<E> {
        self.message.event()
    }

    fn read(row: &sqlx::any::AnyRow) -> Result<Self, sqlx::Error> {
        let (channel, key): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        let headers: Headers = serde_json::from_str(row.try_get(2)?)
            .map_err(|err| sqlx::Error::Decode(Box::new(err)))?;
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let payload: &str = row.try_get(3)?;
        let due: Option<i64> = row.try_get(4)?;
        Ok(Self {
            message: Published::new(
                format!("{channel}.{key}"),
                headers,
                payload.as_bytes().to_vec(),
            ),
            due: due
                .map(|nanos| Timestamp::from_nanosecond(nanos.into()).unwrap_or(Timestamp::MAX)),
        })
    }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::events::TicketUpdated;
    use crate::testing::{Envelope, Outcome, ScratchDatabase, conformance, sample};
    use crate::{
        Failure, InTransaction, ORDERS_SERVICE, Publisher as _, QueueGroup, TransactionalListener,
        Tx,
    };

    struct Outbox {
        database: Database,
        seen: AtomicUsize,
    }

    impl conformance::Harness for Outbox {
        type Publisher<'h> = Tx<'static>;

        async fn open(&self) -> Tx<'static> {
            self.database.begin().await.unwrap()
        }

        async fn close(&self, tx: Tx<'static>) {
            // A transaction whose event was refused does not commit; what is stored shows that.
            drop(tx.commit().await);
        }

        async fn stored(&self) -> Vec<Published> {
            let unsent = outbox(&self.database).await;
            let seen = self.seen.swap(unsent.len(), Ordering::Relaxed);
            unsent
                .into_iter()
                .skip(seen)
                .map(|unsent| unsent.message)
                .collect()
        }
    }

    #[tokio::test]
    async fn publisher_in_a_transaction_conforms() {
        let scratch = ScratchDatabase::create().await;
        let harness = Outbox {
            database: scratch.open("test", &[]).await,
            seen: AtomicUsize::new(0),
        };
        conformance::check(&harness).await;
    }

    /// Publishes one event for each it is given.
    struct Echo;

    impl TransactionalListener for Echo {
        type Event = TicketUpdated;

        const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

        async fn apply(&self, ticket: TicketUpdated, tx: &mut Tx<'_>) -> Result<(), Failure> {
            if ticket.title.as_str() == "Test" {
                return Err(Failure::reject("nobody goes to a test"));
            }
            tx.publish(&sample::order_cancelled()).await?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn listener_in_a_transaction_is_delivered_to_like_any_other() {
        let scratch = ScratchDatabase::create().await;
        let database = scratch.open("test", &[]).await;
        let listener = InTransaction::new(&database, Echo);
        let first = TicketUpdated {
            version: sample::version(1),
            ..sample::ticket_updated()
        };
        let test = TicketUpdated {
            title: sample::title("Test"),
            version: sample::version(2),
            ..first.clone()
        };
        let third = TicketUpdated {
            version: sample::version(3),
            ..first.clone()
        };
        let first = Envelope::of(&first);

        assert_eq!(first.deliver_to(&listener).await, Outcome::Acked);
        assert_eq!(first.deliver_to(&listener).await, Outcome::AlreadyApplied);
        assert_eq!(
            Envelope::of(&third).deliver_to(&listener).await,
            Outcome::Held
        );
        let reason = "nobody goes to a test".to_owned();
        let rejected = Outcome::Rejected { reason };
        assert_eq!(Envelope::of(&test).deliver_to(&listener).await, rejected);

        let published = outbox(&database).await;
        let [only] = &published[..] else {
            panic!("{published:?}");
        };
        let cause = first.incoming().metadata.id().to_owned();
        assert_eq!(only.message.header("ce-causationid"), Some(&*cause));
    }
}
