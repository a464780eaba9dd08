use common::events::TicketUpdated;
use common::{Failure, Order, PAYMENTS_SERVICE, QueueGroup, TransactionalListener, Tx};

use crate::store::tickets;

/// Notes what the ticket is called, for what its buyer reads on the statement.
#[derive(Debug, Clone, Copy)]
pub struct NameOnTicketUpdated;

impl TransactionalListener for NameOnTicketUpdated {
    type Event = TicketUpdated;

    const QUEUE_GROUP: QueueGroup = PAYMENTS_SERVICE;
    const ORDER: Order = Order::NewestOnly;

    async fn apply(&self, ticket: TicketUpdated, tx: &mut Tx<'_>) -> Result<(), Failure> {
        tickets::name(tx, ticket.id, ticket.title.as_str()).await?;
        Ok(())
    }
}
