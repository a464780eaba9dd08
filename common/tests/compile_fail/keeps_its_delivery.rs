//! A handler that keeps its delivery beyond the call.

use std::sync::Mutex;

use common::events::TicketCreated;
use common::{Delivery, Failure, Listener, ORDERS_SERVICE, QueueGroup, Settled};

struct Announce {
    kept: Mutex<Vec<Delivery<'static>>>,
}

impl Listener for Announce {
    type Event = TicketCreated;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn on_message(&self, ticket: TicketCreated, delivery: Delivery<'_>) -> Result<Settled, Failure> {
        self.kept.lock().unwrap().push(delivery);
        Err(Failure::retry(ticket.title.to_string()))
    }
}

fn main() {}
