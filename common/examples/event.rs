//! cargo run -p common --example event
//!
//! An event, a publisher and a listener of one's own, on NATS at `NATS_URL`. Ctrl-C ends it.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{error::Error, num::NonZeroUsize};

use common::{ClientConfig, Event, Key, QueueGroup, StreamName, Topology, build_client};
use common::{Delivery, Failure, JetStreamPublisher, Listener, Runner, Settled, schemars};
use serde::{Deserialize, Serialize};
use tokio::signal::ctrl_c;

const USERS: StreamName = StreamName::new("USERS");
const WEBSITE: QueueGroup = QueueGroup::new("website");
const MAILER: QueueGroup = QueueGroup::new("mailer");

common::subjects! {
    /// All that our services say to each other.
    enum Ours {
        /// Somebody signed up.
        SignedUp: "user:signed-up", stream USERS, from WEBSITE, to [MAILER];
    }
}

/// Somebody signed up.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct SignedUp {
    user: Key,
}

impl Event for SignedUp {
    const SUBJECT: Ours = Ours::SignedUp;
    fn key(&self) -> Key {
        self.user.clone()
    }
}

struct Welcome;
impl Listener for Welcome {
    type Event = SignedUp;
    const QUEUE_GROUP: QueueGroup = MAILER;
    async fn on_message(&self, new: SignedUp, delivery: Delivery<'_>) -> Result<Settled, Failure> {
        println!("welcome, {}", new.user);
        Ok(delivery.ack())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = build_client(&ClientConfig::from_env("website")?).await?;
    let streams = Topology::of::<Ours>();
    streams.provision(&client, NonZeroUsize::MIN).await?;
    let user = Key::new("ada")?;
    let publisher = JetStreamPublisher::new(&client);
    publisher.publish(&SignedUp { user }).await?;
    let runner = Runner::new(&client).listen(Welcome);
    Ok(runner.run(async { drop(ctrl_c().await) }).await?)
}
