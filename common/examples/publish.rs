//! cargo run -p common --example publish -- 20
//!
//! Publishes so many letters (10 if not said), one every half second, to NATS at `NATS_URL`.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::num::NonZeroUsize;
use std::time::Duration;

use common::{ClientConfig, JetStreamPublisher, Key, Topology, build_client};

#[path = "contract/post.rs"]
mod post;

use post::{Post, Posted};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: u32 = std::env::args()
        .nth(1)
        .map_or(Ok(10), |count| count.parse())?;
    let client = build_client(&ClientConfig::from_env("post-office")?).await?;
    let one_server = NonZeroUsize::MIN;
    Topology::of::<Post>()
        .provision(&client, one_server)
        .await?;

    let publisher = JetStreamPublisher::new(&client);
    let names = ["Ada", "Grace", "Alan", "Edsger"];
    for (number, to) in (1..=count).zip(names.into_iter().cycle()) {
        let letter = Posted {
            id: Key::new(number.to_string())?,
            to: to.to_owned(),
        };
        let stored = publisher.publish(&letter).await?;
        println!("posted {number} to {to}, stored at {}", stored.sequence);
        // So that one can watch the listeners share them.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    client.close().await;
    Ok(())
}
