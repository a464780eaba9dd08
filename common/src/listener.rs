use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::BoxError;
use crate::event::Event;
use crate::failure::Failure;
use crate::message::Incoming;
use crate::metadata::Metadata;
use crate::name::QueueGroup;
use crate::subject_set::Listed;

/// How long one call of a listener may take that does not say otherwise: five minutes.
pub(crate) const DEADLINE: Duration = Duration::from_mins(5);

/// Handles the events of one channel, for effects outside a database.
///
/// The runner calls it for one event of a key at a time. Whoever writes to the service's database
/// implements `TransactionalListener` instead, and needs no acknowledgement.
///
/// ```
/// use common::events::TicketCreated;
/// use common::{Delivery, Failure, Listener, QueueGroup, Settled, ORDERS_SERVICE};
///
/// /// Prints every ticket that goes on sale.
/// struct Announce;
///
/// impl Listener for Announce {
///     type Event = TicketCreated;
///
///     const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;
///
///     async fn on_message(&self, ticket: TicketCreated, delivery: Delivery<'_>) -> Result<Settled, Failure> {
///         println!("{} for {}", ticket.title, ticket.price);
///         Ok(delivery.ack())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no listener",
    note = "implement `common::Listener`, or `common::TransactionalListener` and hand it over with `listen_in(&database, ..)`"
)]
pub trait Listener: Send + Sync + 'static {
    /// What is listened to.
    type Event: Event;

    /// Whose replicas share the events. It must be one of the groups that the event's line names,
    /// or the runner that is given this listener does not compile.
    const QUEUE_GROUP: QueueGroup;

    /// How long one call may take: five minutes by default. A handler that takes longer is stopped, and
    /// the attempt has failed.
    const DEADLINE: Duration = DEADLINE;

    /// Handles one event, and says what becomes of its message.
    ///
    /// # Errors
    ///
    /// A [`Failure`] says whether the event may succeed later, never will, or is not to blame.
    fn on_message(
        &self,
        event: Self::Event,
        delivery: Delivery<'_>,
    ) -> impl Future<Output = Result<Settled, Failure>> + Send;

    /// Where the listener keeps what it has applied, and in which order it applies. `None`: it has no database.
    #[cfg(feature = "sql")]
    #[doc(hidden)]
    fn ledger(&self) -> Option<(&crate::Database, crate::Order)> {
        None
    }
}

/// Fails to compile, where it is used in a constant, for a listener whose group its event does not name.
#[track_caller]
pub(crate) const fn assert_may_listen<L: Listener>() {
    assert!(
        L::QUEUE_GROUP.is_one_of(<L::Event as Listed>::CONSUMERS),
        "the listener's QUEUE_GROUP is not among those that its event's line names"
    );
}

/// One delivery of one event: what is known of it, and the right to settle it once.
///
/// Exactly one of [`ack`](Self::ack), [`retry_after`](Self::retry_after) and
/// [`reject`](Self::reject) uses it up. It cannot leave its call, and what it yields decides for
/// this message only.
#[derive(Debug)]
#[must_use = "a message that is not settled is redelivered: ack, retry or reject it"]
pub struct Delivery<'d> {
    incoming: &'d Incoming,
    nonce: u64,
    // Invariant, so that no shorter-lived delivery stands in for another.
    call: PhantomData<fn(&'d ()) -> &'d ()>,
}

impl<'d> Delivery<'d> {
    pub(crate) fn of(incoming: &'d Incoming) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            incoming,
            nonce: NEXT.fetch_add(1, Ordering::Relaxed),
            call: PhantomData,
        }
    }

    /// What is known of the event beside its payload.
    #[must_use]
    pub fn metadata(&self) -> &'d Metadata {
        &self.incoming.metadata
    }

    /// The event is handled; it will not come again.
    pub fn ack(self) -> Settled {
        self.settle(Decision::Ack(Handled::Done { successor: false }))
    }

    /// The event may succeed later: it comes again after `delay` (10 ms to 7 days, and up to a
    /// quarter more), and this attempt counts as failed.
    pub fn retry_after(self, delay: Duration) -> Settled {
        self.settle(Decision::RetryAfter(delay))
    }

    /// The event can never be handled: it goes to the dead letters with this reason.
    pub fn reject(self, reason: impl Into<BoxError>) -> Settled {
        self.settle(Decision::Reject(reason.into()))
    }

    pub(crate) fn settle(self, decision: Decision) -> Settled {
        Settled {
            decision,
            nonce: self.nonce,
        }
    }

    pub(crate) fn incoming(&self) -> &'d Incoming {
        self.incoming
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.nonce
    }
}

/// What becomes of a message, decided by its handler. The runner carries it out after the handler
/// has returned.
#[must_use = "a decision takes effect by being returned from the handler"]
pub struct Settled {
    decision: Decision,
    nonce: u64,
}

impl Settled {
    /// The decision, if it was made for the delivery of that nonce.
    pub(crate) fn decided_for(self, nonce: u64) -> Option<Decision> {
        (self.nonce == nonce).then_some(self.decision)
    }
}

impl fmt::Debug for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decision.fmt(f)
    }
}

/// What the runner is asked to do with a message.
#[derive(Debug)]
pub(crate) enum Decision {
    Ack(Handled),
    RetryAfter(Duration),
    Reject(BoxError),
}

/// Why a message may be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handled {
    /// The handler did its work.
    Done {
        /// Whether a later version of the key may be held back, and have its turn now.
        successor: bool,
    },
    /// The same event was applied before.
    Duplicate,
    /// A later version of the aggregate was applied before.
    AlreadyApplied,
    /// Its version was applied from another event, or a later state was taken as the base: this one never was.
    PassedOver,
    /// It came before its predecessor, and is stored until that has been applied.
    Held,
}
