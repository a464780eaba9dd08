use common::events::TicketUpdated;
use common::{Failure, ORDERS_SERVICE, QueueGroup, TransactionalListener, Tx};

use crate::order::Ticket;
use crate::store::{self, Confirmation};

/// Follows the ticket, and lets the order for which it is reserved await its payment.
pub(crate) struct ConfirmOnTicketUpdated;

impl TransactionalListener for ConfirmOnTicketUpdated {
    type Event = TicketUpdated;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn apply(&self, ticket: TicketUpdated, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let ticket = Ticket::from(ticket);
        store::keep(tx, &ticket).await?;
        let Some(order) = ticket.holder else {
            return Ok(());
        };
        match store::confirm(tx, order, ticket.id).await? {
            Confirmation::Confirmed | Confirmation::NotWaiting => (),
            // The ticket is what it is: its later versions must not wait for an order that never comes.
            Confirmation::NoSuchOrder => {
                tracing::warn!(ticket = %ticket.id, %order, "ticket is reserved for an unknown order");
            }
        }
        Ok(())
    }
}
