use common::events::OrderCompleted;
use common::{Failure, PAYMENTS_SERVICE, QueueGroup, TransactionalListener, Tx};

use super::CannotClose;
use crate::order::OrderStatus;
use crate::store::orders::{self, Closed};

/// Notes that the order is complete: it cannot be paid again, and its charge stays.
#[derive(Debug, Clone, Copy)]
pub struct CloseOnOrderCompleted;

impl TransactionalListener for CloseOnOrderCompleted {
    type Event = OrderCompleted;

    const QUEUE_GROUP: QueueGroup = PAYMENTS_SERVICE;

    async fn apply(&self, completed: OrderCompleted, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let order = completed.id;
        match orders::close(tx, order, OrderStatus::Complete).await? {
            Closed::Now | Closed::AlreadySo => Ok(()),
            Closed::Otherwise(status) => Err(Failure::reject(CannotClose::EndedOtherwise {
                order,
                status,
            })),
            Closed::Unknown => Err(Failure::retry(CannotClose::Unknown { order })),
        }
    }
}
