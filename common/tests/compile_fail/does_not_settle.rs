//! A handler that forgets to settle its message.

use common::events::TicketCreated;
use common::{Delivery, Failure, Listener, ORDERS_SERVICE, QueueGroup, Settled};

struct Announce;

impl Listener for Announce {
    type Event = TicketCreated;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn on_message(&self, ticket: TicketCreated, delivery: Delivery<'_>) -> Result<Settled, Failure> {
        if ticket.title.as_str() == "Test" {
            return Ok(delivery.reject("nobody goes to a test"));
        }
        println!("{}", ticket.title);
    }
}

fn main() {}
