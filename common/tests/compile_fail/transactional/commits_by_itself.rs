//! A listener that ends the transaction that its effect, the inbox and the outbox share.

use common::events::TicketCreated;
use common::{Failure, ORDERS_SERVICE, QueueGroup, TransactionalListener, Tx};

struct StoreTicket;

impl TransactionalListener for StoreTicket {
    type Event = TicketCreated;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn apply(&self, _: TicketCreated, tx: &mut Tx<'_>) -> Result<(), Failure> {
        tx.commit().await?;
        Ok(())
    }
}

fn main() {}
