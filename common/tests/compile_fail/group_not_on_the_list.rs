//! A listener whose queue group is not on its event's list.

use common::events::TicketCreated;
use common::{Client, Delivery, Failure, Listener, QueueGroup, Runner, Settled};

struct Announce;

impl Listener for Announce {
    type Event = TicketCreated;

    const QUEUE_GROUP: QueueGroup = QueueGroup::new("billing-service");

    async fn on_message(&self, ticket: TicketCreated, delivery: Delivery<'_>) -> Result<Settled, Failure> {
        println!("{}", ticket.title);
        Ok(delivery.ack())
    }
}

fn listen(client: &Client) -> Runner {
    Runner::new(client).listen(Announce)
}

fn main() {
    let _: fn(&Client) -> Runner = listen;
}
