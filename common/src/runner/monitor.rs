//! Looks after what goes wrong slowly: a stream that fills up, messages that age out unread.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::client::Client;
use crate::error::Chain;
use crate::health::Severity;
use crate::name::{Schedules, StreamName};
use crate::topology::{ConsumerInfo, DEAD_LETTERS, StreamInfo};

use super::worker::Worker;

const EVERY: Duration = Duration::from_secs(30);

/// Watches one stream for one group, until `stop`.
pub(super) async fn monitor(worker: Arc<Worker>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            () = worker.stop.cancelled() => return,
        }
        worker.forget_unburied();
        if let Err(reason) = look(&worker).await {
            // Who binds the consumer says so too, and louder.
            tracing::debug!(stream = %worker.stream, reason, "stream could not be looked at");
        }
    }
}

async fn look(worker: &Worker) -> Result<(), String> {
    let api = |err| Chain(&err).to_string();
    let Worker {
        client,
        group,
        stream,
        ..
    } = worker;
    let health = client.health();
    look_at_fill(client, DEAD_LETTERS).await?;
    let Some(info) = look_at_fill(client, stream.as_str()).await? else {
        return Ok(());
    };
    let consumer = ConsumerInfo::read(client, stream.as_str(), group.as_str());
    let Some(consumer) = consumer.await.map_err(api)? else {
        return Ok(());
    };
    let part = format!("floor of {group} on {stream}");
    let floor = consumer.ack_floor.stream_seq;
    if may_have_aged_out(*stream, floor, info.state.first_seq) {
        let first = info.state.first_seq;
        let message = format!(
            "events after {floor} are unacknowledged and the stream begins at {first}: some may have aged out unread"
        );
        health.report(&part, Severity::NotReady, message);
    } else {
        health.clear(&part);
    }
    Ok(())
}

/// Warns of a stream that is nearly full.
async fn look_at_fill(client: &Client, stream: &str) -> Result<Option<StreamInfo>, String> {
    let info = StreamInfo::read(client, stream)
        .await
        .map_err(|err| Chain(&err).to_string())?;
    let part = format!("fill of {stream}");
    let fill = info
        .as_ref()
        .and_then(|info| Some((info.state.bytes, info.max_bytes()?)));
    match fill {
        Some((bytes, limit)) if is_nearly_full(bytes, limit) => {
            let message =
                format!("{bytes} of {limit} bytes; when it is full it refuses new events");
            client.health().report(&part, Severity::Warning, message);
        }
        Some(_) | None => client.health().clear(&part),
    }
    Ok(info)
}

/// From 80 % on.
fn is_nearly_full(bytes: u64, limit: u64) -> bool {
    bytes >= limit / 5 * 4
}

/// Whether the stream begins after what the group has acknowledged. Where schedules remove
/// themselves, that says nothing.
fn may_have_aged_out(stream: StreamName, floor: u64, first: u64) -> bool {
    match stream.schedules() {
        Schedules::Accepted => false,
        Schedules::Refused => floor + 1 < first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_nearly_full_from_four_fifths_on() {
        assert!(!is_nearly_full(79, 100));
        assert!(is_nearly_full(80, 100));
    }

    #[test]
    fn gap_between_floor_and_first_event_is_seen() {
        let stream = StreamName::new("S");
        assert!(!may_have_aged_out(stream, 0, 0), "empty");
        assert!(!may_have_aged_out(stream, 0, 1), "nothing read yet");
        assert!(!may_have_aged_out(stream, 9, 10), "all read");
        assert!(may_have_aged_out(stream, 8, 10), "9 is gone");
    }
}
