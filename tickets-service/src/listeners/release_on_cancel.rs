use common::events::OrderCancelled;
use common::{Failure, QueueGroup, TICKETS_SERVICE, TransactionalListener, Tx};

use super::publish;
use crate::store;

/// Gives the ticket of a cancelled order to the next that asks for it, or back to the sale.
pub(crate) struct ReleaseOnCancel;

impl TransactionalListener for ReleaseOnCancel {
    type Event = OrderCancelled;

    const QUEUE_GROUP: QueueGroup = TICKETS_SERVICE;

    async fn apply(&self, order: OrderCancelled, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let change = store::release(tx, order.ticket.id, order.id).await?;
        publish(change, tx).await
    }
}
