use common::events::OrderCreated;
use common::{Failure, QueueGroup, TICKETS_SERVICE, TransactionalListener, Tx};

use super::publish;
use crate::store;

/// Reserves the ticket for the order that asks for it.
///
/// Orders of one ticket arrive in any order to each other: the oldest that is not cancelled holds it.
pub(crate) struct ReserveOnOrder;

impl TransactionalListener for ReserveOnOrder {
    type Event = OrderCreated;

    const QUEUE_GROUP: QueueGroup = TICKETS_SERVICE;

    async fn apply(&self, order: OrderCreated, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let change = store::reserve(tx, order.ticket.id, order.id).await?;
        publish(change, tx).await
    }
}
