use common::events::OrderCancelled;
use common::{Failure, PAYMENTS_SERVICE, QueueGroup, TransactionalListener, Tx};

use super::CannotClose;
use crate::clock::Clock;
use crate::order::OrderStatus;
use crate::store::orders::{self, Closed};
use crate::store::payments::{self, Refund};

/// Keeps the order from being paid; if it was paid, the money is due to be given back.
///
/// A charge that is on its way is given back by whoever writes it down: that stands behind the same
/// lock, and finds the order cancelled.
#[derive(Debug, Clone)]
pub struct RefundOnOrderCancelled {
    clock: Clock,
}

impl RefundOnOrderCancelled {
    /// A listener that dates refunds by `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl TransactionalListener for RefundOnOrderCancelled {
    type Event = OrderCancelled;

    const QUEUE_GROUP: QueueGroup = PAYMENTS_SERVICE;

    async fn apply(&self, cancelled: OrderCancelled, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let order = cancelled.id;
        match orders::close(tx, order, OrderStatus::Cancelled).await? {
            Closed::Now | Closed::AlreadySo => (),
            Closed::Otherwise(status) => {
                return Err(Failure::reject(CannotClose::EndedOtherwise {
                    order,
                    status,
                }));
            }
            Closed::Unknown => return Err(Failure::retry(CannotClose::Unknown { order })),
        }
        match payments::make_refund_due(tx, order, self.clock.now()).await? {
            Refund::Due | Refund::NothingToRefund => Ok(()),
        }
    }
}
