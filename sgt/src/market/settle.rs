use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::broker::{Broker, Consumer};
use super::facts::Databases;
use super::progress::Phase;

/// Waits until nothing is under way any more: no order or payment between two states, no unsent
/// event, none that is held, delivered late or not acknowledged. Gives up after `patience`; what
/// is not quiet then breaks an invariant.
pub(crate) async fn until_quiet(
    databases: &Databases,
    broker: &Broker,
    patience: Duration,
    phase: &Phase,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    // One look takes a while, and what it passes may stir what it has looked at before.
    let mut quiet_looks = 0;
    while quiet_looks < 2 && Instant::now() < deadline {
        let is_quiet = databases.are_quiet().await?
            && broker.consumers().await?.iter().all(Consumer::is_at_rest);
        quiet_looks = if is_quiet { quiet_looks + 1 } else { 0 };
        phase.wait();
        sleep(Duration::from_millis(100)).await; // nobody tells when a system is quiet
    }
    Ok(())
}
