//! A handler of another event than its listener.

use common::events::{OrderCreated, TicketCreated};
use common::{Delivery, Failure, Listener, ORDERS_SERVICE, QueueGroup, Settled};

struct Announce;

impl Listener for Announce {
    type Event = TicketCreated;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn on_message(&self, ticket: OrderCreated, delivery: Delivery<'_>) -> Result<Settled, Failure> {
        println!("{}", ticket.id);
        Ok(delivery.ack())
    }
}

fn main() {}
