//! A handler that moves its delivery to another task.

use common::events::TicketCreated;
use common::{Delivery, Failure, Listener, ORDERS_SERVICE, QueueGroup, Settled};

struct Announce;

impl Listener for Announce {
    type Event = TicketCreated;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn on_message(&self, ticket: TicketCreated, delivery: Delivery<'_>) -> Result<Settled, Failure> {
        let task = tokio::spawn(async move {
            println!("{}", ticket.title);
            delivery.ack()
        });
        Ok(task.await?)
    }
}

fn main() {}
