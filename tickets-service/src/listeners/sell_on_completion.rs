use common::events::OrderCompleted;
use common::{Failure, QueueGroup, TICKETS_SERVICE, TransactionalListener, Tx};

use super::publish;
use crate::store;

/// Marks the ticket of a paid order sold, for good.
pub(crate) struct SellOnCompletion;

impl TransactionalListener for SellOnCompletion {
    type Event = OrderCompleted;

    const QUEUE_GROUP: QueueGroup = TICKETS_SERVICE;

    async fn apply(&self, order: OrderCompleted, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let change = store::sell(tx, order.ticket.id, order.id).await?;
        publish(change, tx).await
    }
}
