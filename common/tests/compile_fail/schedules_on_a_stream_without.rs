//! An event for later, on a stream that takes no schedules.

use common::JetStreamPublisher;
use common::events::TicketCreated;

pub async fn publish(publisher: &JetStreamPublisher, ticket: &TicketCreated) {
    let due = "2030-01-01T00:00:00Z".parse().unwrap();
    publisher.publish_at(ticket, due).await.unwrap();
}

fn main() {}
