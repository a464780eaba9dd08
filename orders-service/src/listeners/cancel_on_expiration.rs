use common::events::ExpirationComplete;
use common::{Failure, ORDERS_SERVICE, QueueGroup, TransactionalListener, Tx};
use jiff::Timestamp;

use crate::cancellation::cancel;
use crate::store::{Cancellation, Reason};

/// Cancels the order whose time to pay is over. The order itself knows whether it is.
pub(crate) struct CancelOnExpiration;

impl TransactionalListener for CancelOnExpiration {
    type Event = ExpirationComplete;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn apply(&self, expiration: ExpirationComplete, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let reason = Reason::Expired(Timestamp::now());
        match cancel(tx, expiration.order_id, reason).await? {
            Cancellation::Cancelled(_)
            | Cancellation::AlreadyCancelled
            | Cancellation::Complete
            // A clock is ahead; the sweep comes later.
            | Cancellation::NotYetDue => Ok(()),
            Cancellation::NoSuchOrder => Err(Failure::reject("there is no such order")),
        }
    }
}
