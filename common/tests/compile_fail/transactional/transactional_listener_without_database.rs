//! A listener for the database, without one.

use common::events::TicketCreated;
use common::{Client, Failure, ORDERS_SERVICE, QueueGroup, Runner, TransactionalListener, Tx};

struct StoreTicket;

impl TransactionalListener for StoreTicket {
    type Event = TicketCreated;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn apply(&self, _: TicketCreated, _: &mut Tx<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

pub fn listen(client: &Client) -> Runner {
    Runner::new(client).listen(StoreTicket)
}

fn main() {}
