//! A listener for effects outside the database, where one for the database is wanted.

use common::events::TicketCreated;
use common::{Client, Database, Delivery, Failure, Listener, ORDERS_SERVICE, QueueGroup, Runner, Settled};

struct Announce;

impl Listener for Announce {
    type Event = TicketCreated;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn on_message(&self, ticket: TicketCreated, delivery: Delivery<'_>) -> Result<Settled, Failure> {
        println!("{}", ticket.title);
        Ok(delivery.ack())
    }
}

pub fn listen(client: &Client, database: &Database) -> Runner {
    Runner::new(client).listen_in(database, Announce)
}

fn main() {}
