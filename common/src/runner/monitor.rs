//! Looks after what nobody tells of: a stream that fills up, messages that age out unread, a
//! consumer that somebody changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::client::Client;
use crate::error::Chain;
use crate::health::Severity;
use crate::name::{Schedules, StreamName};
use crate::topology::{
    ConsumerInfo, DEAD_LETTERS, Drift, LEASE, Provisioning, StreamInfo, StreamState, Topology,
};

use super::worker::Worker;

/// As often as a lease lasts: one that an operator shortens is noticed within its old time.
const EVERY: Duration = LEASE;

/// Watches one stream and its consumer for one group, until `stop`.
pub(super) async fn monitor(worker: Arc<Worker>, declared: Topology, provisioning: Provisioning) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut settled = Settled::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            () = worker.stop.cancelled() => return,
        }
        worker.forget_unburied();
        let looked = tokio::select! {
            looked = look(&worker, &declared, provisioning, &mut settled) => looked,
            // A server that is away must not hold up the end.
            () = worker.stop.cancelled() => return,
        };
        if let Err(reason) = looked {
            // Who binds the consumer says so too, and louder.
            tracing::debug!(stream = %worker.stream, reason, "stream could not be looked at");
        }
    }
}

async fn look(
    worker: &Worker,
    declared: &Topology,
    provisioning: Provisioning,
    settled: &mut Settled,
) -> Result<(), String> {
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
    worker.go_by(consumer.lease());
    look_at_unsettled(worker, &consumer);
    look_at_settings(worker, declared, provisioning, &consumer).await?;
    let part = format!("floor of {group} on {stream}");
    let StreamState {
        first_seq: first,
        last_seq: last,
        ..
    } = info.state;
    let floor = settled.floor(consumer.ack_floor.stream_seq);
    let waits = consumer.num_pending > 0 || consumer.num_ack_pending > 0;
    if may_have_aged_out(*stream, floor, first) {
        let (severity, doubt) = if waits {
            (Severity::NotReady, "")
        } else {
            // Who begins when nothing waits cannot know whose they were.
            (Severity::Warning, ", unless they were others'")
        };
        let message = format!(
            "events after {floor} are unacknowledged and the stream begins at {first}: some may have aged out unread{doubt}"
        );
        // The doubt stays until an event of the group's own is acknowledged.
        health.report(&part, severity, message);
    } else {
        health.clear(&part);
        settled.note(last, waits);
    }
    Ok(())
}

/// At its limit the server delivers nothing new, and says nothing: those that wait for another try count too.
fn look_at_unsettled(worker: &Worker, consumer: &ConsumerInfo) {
    let Worker {
        client,
        group,
        stream,
        ..
    } = worker;
    let part = format!("unsettled events of {group} on {stream}");
    let unsettled = consumer.num_ack_pending;
    match consumer.max_ack_pending() {
        Some(limit) if unsettled >= limit => {
            let message = format!(
                "{unsettled} events run or wait for another try, and the server delivers no new ones from {limit} on"
            );
            client.health().report(&part, Severity::NotReady, message);
        }
        Some(_) | None => client.health().clear(&part),
    }
}

/// Somebody may have taken from the consumer what this group needs: said, and put back by those who may.
async fn look_at_settings(
    worker: &Worker,
    declared: &Topology,
    provisioning: Provisioning,
    consumer: &ConsumerInfo,
) -> Result<(), String> {
    let Worker {
        client,
        group,
        stream,
        ..
    } = worker;
    let (stream, group) = (stream.as_str(), group.as_str());
    let part = format!("settings of {group} on {stream}");
    let lacks = declared.lacks(stream, group, consumer);
    if lacks.is_empty() {
        client.health().clear(&part);
        return Ok(());
    }
    let lines: Vec<_> = lacks.iter().map(Drift::to_string).collect();
    let message = format!("somebody has changed the consumer: {}", lines.join("; "));
    client.health().report(&part, Severity::NotReady, message);
    match provisioning {
        Provisioning::BindOnly => Ok(()),
        Provisioning::Create { .. } => declared
            .provision_consumer(client, stream, group)
            .await
            .map_err(|err| Chain(&err).to_string()),
    }
}

/// Up to where a group has settled what was meant for it. The server's floor is its last own event: it stays behind
/// while the stream grows, and ages, by those of other channels.
#[derive(Debug, Default)]
struct Settled(u64);

impl Settled {
    fn floor(&self, server: u64) -> u64 {
        self.0.max(server)
    }

    /// Notes the end of the stream, and whether something before it waited afterwards.
    fn note(&mut self, last: u64, waits: bool) {
        self.0 = if waits { self.0.min(last) } else { last };
    }
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
            let percent = bytes.saturating_mul(100) / limit;
            let message =
                format!("{percent} % of {limit} bytes; when it is full it refuses new events");
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
pub(super) mod tests {
    use std::collections::HashMap;
    use std::num::NonZeroUsize;
    use std::pin::pin;

    use tokio::sync::watch;
    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;

    use super::super::attempts::Attempts;
    use super::super::outage::Outages;
    use super::super::poison::Searched;
    use super::*;
    use crate::client::tests::alone;
    use crate::{RetryPolicy, Subjects, TICKETS, TICKETS_SERVICE};

    /// A worker without listeners.
    pub(in super::super) fn worker(client: Client, attempts: Attempts) -> Worker {
        let stop = CancellationToken::new();
        Worker {
            outages: Outages::new("handlers".to_owned(), client.health(), stop.clone()),
            client,
            group: TICKETS_SERVICE,
            stream: TICKETS,
            handlers: HashMap::new(),
            policy: RetryPolicy::default(),
            attempts,
            stop,
            drain: Duration::ZERO,
            lease: watch::Sender::new(LEASE),
            streams: vec![TICKETS],
            searched: Searched::default(),
            #[cfg(feature = "sql")]
            tries: crate::runner::held::Tries::default(),
            unburied: std::sync::Mutex::default(),
        }
    }

    #[tokio::test]
    async fn shutdown_does_not_wait_for_a_server_that_is_away() {
        let worker = Arc::new(worker(alone().await, Attempts::Server));
        let stop = worker.stop.clone();
        let mut monitor = pin!(monitor(
            worker,
            Topology::of::<Subjects>(),
            Provisioning::Create {
                replicas: NonZeroUsize::MIN
            },
        ));
        let asks = timeout(Duration::from_millis(200), &mut monitor).await;
        assert!(asks.is_err(), "it asks and hears nothing");

        stop.cancel();

        let ended = timeout(Duration::from_secs(2), monitor).await;
        assert!(ended.is_ok(), "waits for the server's answer");
    }

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

    #[test]
    fn what_is_settled_goes_on_with_the_stream_while_nothing_waits() {
        let mut settled = Settled::default();
        assert_eq!(settled.floor(7), 7);
        settled.note(9, false);
        assert_eq!(settled.floor(7), 9);
        settled.note(12, true);
        assert_eq!(settled.floor(7), 9);
        settled.note(3, true);
        assert_eq!(settled.floor(0), 3, "the stream was created again");
    }
}
