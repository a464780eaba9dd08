//! cargo run -p common --example listen -- carriers
//!
//! Prints the letters that `publish` posts, until Ctrl-C. Two `carriers` share them; an `archive`
//! beside them gets every one.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{error::Error, num::NonZeroUsize};

use common::{ClientConfig, Delivery, Failure, Listener, QueueGroup, Settled, build_client};
use common::{Provisioning, Runner};
use tokio::signal::ctrl_c;

#[path = "contract/post.rs"]
mod post;

use post::{ARCHIVE, CARRIERS, Posted};

struct Carry;

impl Listener for Carry {
    type Event = Posted;
    const QUEUE_GROUP: QueueGroup = CARRIERS;

    async fn on_message(&self, letter: Posted, delivery: Delivery<'_>) -> Result<Settled, Failure> {
        println!("carried {} to {}", letter.id, letter.to);
        Ok(delivery.ack())
    }
}

struct File;

impl Listener for File {
    type Event = Posted;
    const QUEUE_GROUP: QueueGroup = ARCHIVE;

    async fn on_message(&self, letter: Posted, delivery: Delivery<'_>) -> Result<Settled, Failure> {
        println!(
            "filed {} of {}",
            letter.id,
            delivery.metadata().occurred_at()
        );
        Ok(delivery.ack())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = build_client(&ClientConfig::from_env("post-office")?).await?;
    let replicas = NonZeroUsize::MIN;
    let runner = Runner::new(&client).provisioning(Provisioning::Create { replicas });
    let runner = match std::env::args().nth(1).as_deref() {
        Some("carriers") => runner.listen(Carry),
        Some("archive") => runner.listen(File),
        _ => return Err("say which group listens: carriers or archive".into()),
    };
    println!("listening; Ctrl-C ends it");
    Ok(runner.run(async { drop(ctrl_c().await) }).await?)
}
