use common::events::PaymentRefunded;
use common::{Failure, ORDERS_SERVICE, QueueGroup, TransactionalListener, Tx};

use crate::store::{self, Refund};

/// Records that the money of a cancelled order was given back.
pub(crate) struct RecordOnRefund;

impl TransactionalListener for RecordOnRefund {
    type Event = PaymentRefunded;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn apply(&self, refund: PaymentRefunded, tx: &mut Tx<'_>) -> Result<(), Failure> {
        match store::record_refund(tx, refund.order_id, &refund.refund_id).await? {
            Refund::Recorded => Ok(()),
            Refund::RefundedOtherwise => Err(Failure::reject("another refund is recorded")),
            Refund::NotCancelled => Err(Failure::reject("the order is not cancelled")),
            Refund::NoSuchOrder => Err(Failure::reject("there is no such order")),
        }
    }
}
