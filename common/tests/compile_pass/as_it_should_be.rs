//! What the other cases get wrong, right.

use common::events::{ExpirationComplete, TicketCreated};
use common::{Client, Delivery, Failure, JetStreamPublisher, Listener, QueueGroup, Runner, Settled};
use common::{Event, Key, ORDERS_SERVICE, StreamName, schemars, subjects};
use serde::{Deserialize, Serialize};

const LETTERS: StreamName = StreamName::new("LETTERS");
const POST_OFFICE: QueueGroup = QueueGroup::new("post-office");
const ARCHIVE: QueueGroup = QueueGroup::new("archive");

subjects! {
    /// Every channel of the post.
    pub enum Post {
        /// A letter was handed in.
        LetterPosted: "letter:posted", stream LETTERS, from POST_OFFICE, to [ARCHIVE];
    }
}

/// A letter was handed in.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
pub struct LetterPosted {
    id: Key,
}

impl Event for LetterPosted {
    const SUBJECT: Post = Post::LetterPosted;

    fn key(&self) -> Key {
        self.id.clone()
    }
}

struct Announce;

impl Listener for Announce {
    type Event = TicketCreated;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn on_message(&self, _: TicketCreated, delivery: Delivery<'_>) -> Result<Settled, Failure> {
        Ok(delivery.ack())
    }
}

pub fn listen(client: &Client) -> Runner {
    Runner::new(client).listen(Announce)
}

pub async fn publish(publisher: &JetStreamPublisher, letter: &LetterPosted, expired: &ExpirationComplete) {
    publisher.publish(letter).await.unwrap();
    publisher.publish_at(expired, "2030-01-01T00:00:00Z".parse().unwrap()).await.unwrap();
}

fn main() {}
