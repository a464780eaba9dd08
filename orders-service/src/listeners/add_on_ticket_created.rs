use common::events::TicketCreated;
use common::{Failure, ORDERS_SERVICE, QueueGroup, TransactionalListener, Tx};

use crate::order::Ticket;
use crate::store;

/// Adds the ticket to those that can be ordered.
pub(crate) struct AddOnTicketCreated;

impl TransactionalListener for AddOnTicketCreated {
    type Event = TicketCreated;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn apply(&self, ticket: TicketCreated, tx: &mut Tx<'_>) -> Result<(), Failure> {
        Ok(store::keep(tx, &Ticket::from(ticket)).await?)
    }
}
