use common::events::TicketCreated;
use common::{Failure, Order, PAYMENTS_SERVICE, QueueGroup, TransactionalListener, Tx};

use crate::store::tickets;

/// Notes what the ticket is called, for what its buyer reads on the statement.
#[derive(Debug, Clone, Copy)]
pub struct NameOnTicketCreated;

impl TransactionalListener for NameOnTicketCreated {
    type Event = TicketCreated;

    const QUEUE_GROUP: QueueGroup = PAYMENTS_SERVICE;
    const ORDER: Order = Order::NewestOnly;

    async fn apply(&self, ticket: TicketCreated, tx: &mut Tx<'_>) -> Result<(), Failure> {
        tickets::name(tx, ticket.id, ticket.title.as_str()).await?;
        Ok(())
    }
}
