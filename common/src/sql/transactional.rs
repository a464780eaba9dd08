use std::time::Duration;

use super::guard::{Candidate, Turn};
#[cfg(feature = "postgres")]
use super::unavailable::has_stale_statement;
use super::{Database, Tx};
use crate::event::{Event, version_of};
use crate::failure::Failure;
use crate::listener::{self, Decision, Delivery, Handled, Listener, Settled};
use crate::name::QueueGroup;
use crate::subject_set::Listed;

/// Applies the events of one channel to the service's database.
///
/// Event and transaction in, nothing out: duplicates, order, commit and acknowledgement are the
/// library's. Everything done through `tx` commits together with the note that the event was applied.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no transactional listener",
    note = "implement `common::TransactionalListener`; a plain `common::Listener` is handed over with `listen(..)`"
)]
pub trait TransactionalListener: Send + Sync + 'static {
    /// What is listened to.
    type Event: Event;

    /// Whose replicas share the events. It must be one of the groups that the event's line names,
    /// or the runner that is given this listener does not compile.
    const QUEUE_GROUP: QueueGroup;

    /// Which events of an aggregate are applied.
    const ORDER: Order = Order::EveryVersion;

    /// How long one call may take, from the beginning of the transaction to its commit: five minutes by
    /// default. A handler that takes longer is stopped, and the attempt has failed.
    const DEADLINE: Duration = listener::DEADLINE;

    /// Applies one event. An `Err` undoes everything.
    ///
    /// # Errors
    ///
    /// A [`Failure`] says whether the event may succeed later, never will, or is not to blame.
    fn apply(
        &self,
        event: Self::Event,
        tx: &mut Tx<'_>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Which events of an aggregate a listener is given, of those that carry a version. Events
/// without one are each applied once, in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Every version, one after the other. What comes early is held until its predecessor is applied.
    EveryVersion,
    /// Versions newer than the last one applied; what is older is passed over.
    NewestOnly,
    /// Each event once, in the order of arrival.
    Any,
}

/// A [`TransactionalListener`] with its database: an ordinary [`Listener`].
#[derive(Debug)]
pub struct InTransaction<L> {
    listener: L,
    database: Database,
}

impl<L: TransactionalListener> InTransaction<L> {
    /// Applies what `listener` is given to `database`.
    #[must_use]
    pub fn new(database: &Database, listener: L) -> Self {
        Self {
            listener,
            database: database.clone(),
        }
    }
}

impl<L: TransactionalListener> Listener for InTransaction<L> {
    type Event = L::Event;

    const QUEUE_GROUP: QueueGroup = L::QUEUE_GROUP;
    const DEADLINE: Duration = L::DEADLINE;

    async fn on_message(
        &self,
        event: L::Event,
        delivery: Delivery<'_>,
    ) -> Result<Settled, Failure> {
        let candidate = Candidate {
            group: L::QUEUE_GROUP,
            stream: <L::Event as Listed>::STREAM.as_str(),
            incoming: delivery.incoming(),
        };
        let handled = self.handle(event, candidate).await?;
        Ok(delivery.settle(Decision::Ack(handled)))
    }

    fn ledger(&self) -> Option<(&Database, Order)> {
        Some((&self.database, L::ORDER))
    }
}

impl<L: TransactionalListener> InTransaction<L> {
    /// Admits, applies and commits; what fails leaves no trace.
    async fn handle(&self, event: L::Event, candidate: Candidate<'_>) -> Result<Handled, Failure> {
        let mut tx = self.database.begin().await?;
        let handled = self.handle_in(&mut tx, event, candidate).await;
        match &handled {
            Ok(Handled::Done { .. } | Handled::Duplicate | Handled::Held) => tx.commit().await?,
            Ok(Handled::AlreadyApplied | Handled::PassedOver) => tx.rollback().await?,
            #[cfg(feature = "postgres")]
            Err(failure) if has_stale_statement(failure.source()) => tx.end_connection().await,
            // What went wrong first is what matters. A connection that cannot roll back is closed.
            Err(_) => drop(tx.rollback().await),
        }
        handled
    }

    async fn handle_in(
        &self,
        tx: &mut Tx<'_>,
        event: L::Event,
        candidate: Candidate<'_>,
    ) -> Result<Handled, Failure> {
        let version = match L::ORDER {
            Order::EveryVersion | Order::NewestOnly => version_of(&event),
            Order::Any => None,
        };
        let mut held = None;
        let mut successor = false;
        if let Some(version) = version {
            match candidate
                .take_turn(tx.own_connection(), L::ORDER, version)
                .await?
            {
                Turn::Now {
                    held: copy,
                    successor: later,
                } => {
                    held = copy.then_some(version);
                    successor = later;
                    if successor {
                        let connection = tx.own_connection();
                        candidate.make_successor_due(connection, version).await?;
                    }
                }
                Turn::Passed => return passed(tx, &candidate, L::ORDER).await,
                Turn::Early => {
                    let stored = candidate.hold(tx.own_connection(), version).await?;
                    return Ok(if stored {
                        Handled::Held
                    } else {
                        Handled::PassedOver
                    });
                }
            }
        }
        let applied_before = !candidate.enter_inbox(tx.own_connection()).await?;
        if let Some(version) = held {
            candidate.release(tx.own_connection(), version).await?;
        }
        if applied_before {
            return Ok(Handled::Duplicate);
        }
        self.listener.apply(event, tx).await?;
        Ok(Handled::Done { successor })
    }
}

/// What it means that the guard stands at this version or beyond. Who applies every version is owed an answer whether it
/// was this event that was applied: a publisher that uses a version twice would otherwise lose the second unheard.
async fn passed(
    tx: &mut Tx<'_>,
    candidate: &Candidate<'_>,
    order: Order,
) -> Result<Handled, Failure> {
    if order == Order::EveryVersion && !candidate.is_in_inbox(tx.own_connection()).await? {
        return Ok(Handled::PassedOver);
    }
    Ok(Handled::AlreadyApplied)
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;
