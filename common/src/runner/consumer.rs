use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subject};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{
    Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout, timeout_at,
};
use tokio_util::sync::CancellationToken;

use super::lanes::Lanes;
use super::poison;
use super::pull::{Pull, Pulled};
use super::received::Received;
use super::worker::{Outcome, SAY_WITHIN, Worker};
use crate::error::Chain;
use crate::health::Severity;
use crate::jitter::jitter;
use crate::metadata::Place;
use crate::name::{QueueGroup, StreamName};
use crate::topology::{ConsumerInfo, Topology};

/// How long a connection must hold for its losses to be forgotten.
const LOSSES_WITHIN: Duration = Duration::from_mins(1);
/// How long the last words to the server may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How many settled messages are remembered, in case their acknowledgement was lost.
const REMEMBERED: usize = 4096;

/// Fetches the messages of one queue group on one stream, and has them handled: what can start,
/// one of a key at a time, with their leases renewed for as long as they are here.
pub(super) struct Consumer {
    pub(super) worker: Arc<Worker>,
    pub(super) concurrency: usize,
    /// Brings the consumer back if it is deleted. `None`: that is somebody else's to do.
    pub(super) provision: Option<Topology>,
    pub(super) stop: CancellationToken,
    /// How long handlers may finish after `stop`.
    pub(super) drain: Duration,
}

/// What this replica holds of the consumer's messages.
struct InHand {
    lanes: Lanes<String, Received>,
    leases: HashMap<Place, Subject>,
    jobs: JoinSet<Job>,
    /// Messages that were acknowledged, oldest first: a redelivery of one was on its way already.
    acked: VecDeque<Place>,
    acked_set: HashSet<Place>,
    /// When the consumer was created to which they were acknowledged.
    acked_to: String,
    last_acked: Option<Subject>,
}

/// A job that is over.
struct Job {
    key: String,
    place: Place,
    reply: Subject,
    outcome: Outcome,
}

/// What was found of the consumer.
struct Bound {
    pull: Pull,
    /// When the consumer was created: what tells it from an earlier one of its name.
    created: String,
}

/// What became of the sessions so far.
#[derive(Default)]
struct Losses {
    /// How many ended, one soon after the other.
    count: u32,
    /// Whether the last one ended before the server had answered a request: the consumer is there, and serves nobody.
    unserved: bool,
}

/// How a session with the consumer ended.
enum End {
    /// With what was on its way.
    Stopped(Vec<Message>),
    Lost(String),
}

/// The part of the process's health that a consumer reports.
pub(super) fn part(group: QueueGroup, stream: StreamName) -> String {
    format!("consumer {group} on {stream}")
}

/// That much later than now; what no clock reaches is as good as a year.
fn after(time: Duration) -> Instant {
    const YEAR: Duration = Duration::from_hours(24 * 365);
    Instant::now() + time.min(YEAR)
}

impl Consumer {
    fn part(&self) -> String {
        part(self.worker.group, self.worker.stream)
    }

    /// Runs until `stop`, then drains.
    pub(super) async fn run(self) {
        let mut in_hand = InHand {
            lanes: Lanes::new(self.concurrency),
            leases: HashMap::new(),
            jobs: JoinSet::new(),
            acked: VecDeque::new(),
            acked_set: HashSet::new(),
            acked_to: String::new(),
            last_acked: None,
        };
        let mut losses = Losses::default();
        let mut on_the_way = Vec::new();
        while let Some(bound) = self.bind_while_working(&mut losses, &mut in_hand).await {
            let began = Instant::now();
            in_hand.is_bound_to(bound.created);
            match self.session(bound.pull, &mut in_hand, &mut losses).await {
                End::Stopped(messages) => {
                    on_the_way = messages;
                    break;
                }
                End::Lost(reason) => {
                    tracing::info!(part = self.part(), reason, "binding anew");
                    if began.elapsed() > LOSSES_WITHIN {
                        losses.count = 0;
                    }
                }
            }
        }
        let end = after(self.drain.saturating_add(LAST_WORDS));
        if timeout_at(end, self.drain(in_hand, on_the_way))
            .await
            .is_err()
        {
            tracing::warn!(
                part = self.part(),
                "NATS is out of reach at the end; what was not settled comes again"
            );
        }
    }

    /// Finds the consumer, which may take long; what is here keeps its lease meanwhile, and goes on.
    async fn bind_while_working(&self, losses: &mut Losses, in_hand: &mut InHand) -> Option<Bound> {
        let mut renew = self.renewals();
        let bind = self.bind(losses);
        tokio::pin!(bind);
        loop {
            tokio::select! {
                bound = &mut bind => return bound,
                _ = renew.tick() => in_hand.renew(&self.worker).await,
                Some(job) = in_hand.jobs.join_next() => in_hand.finished(job),
            }
        }
    }

    /// Finds the consumer, again and again, and makes sure that nothing it has delivered kills the
    /// connection. `None`: it was time to stop.
    async fn bind(&self, losses: &mut Losses) -> Option<Bound> {
        loop {
            let delay = match losses.count {
                0 => Duration::ZERO,
                count => Duration::from_millis(50) * 2_u32.pow(count.min(6)),
            };
            losses.count = losses.count.saturating_add(1);
            let bound = async {
                tokio::time::sleep(delay + jitter(delay)).await; // back-off between attempts
                self.try_bind().await
            };
            let bound = tokio::select! {
                bound = bound => bound,
                () = self.stop.cancelled() => return None,
            };
            match bound {
                Ok(bound) => {
                    if !losses.unserved {
                        self.worker.client.health().clear(&self.part());
                    }
                    return Some(bound);
                }
                Err(reason) => {
                    let health = self.worker.client.health();
                    health.report(&self.part(), Severity::NotReady, reason);
                }
            }
        }
    }

    async fn try_bind(&self) -> Result<Bound, String> {
        let Worker {
            client,
            group,
            stream,
            ..
        } = &*self.worker;
        let connection = client.connection();
        let died = client.revive(&connection).await;
        let connection = client.connection();
        let info = ConsumerInfo::read(client, stream.as_str(), group.as_str())
            .await
            .map_err(|err| Chain(&err).to_string())?;
        let Some(info) = info else {
            let Some(topology) = &self.provision else {
                return Err(
                    "it is not on the server; provision it, or start with Provisioning::Create (a service: PROVISION=create)"
                        .to_owned(),
                );
            };
            topology
                .provision_consumer(client, stream.as_str(), group.as_str())
                .await
                .map_err(|err| Chain(&err).to_string())?;
            return Err("it was not on the server, and was created".to_owned());
        };
        // A message that kills connections leaves these traces, and so does a server that is restarted.
        let traces = died
            || connection.generation > self.worker.searched.generation()
            || client.signals().losses_within(LOSSES_WITHIN) > 1;
        if traces {
            poison::remove(&self.worker, &info).await?;
            self.worker.searched.in_generation(connection.generation);
        }
        let pull = Pull::open(&connection, stream.as_str(), group.as_str())
            .await
            .map_err(|err| Chain(&err).to_string())?;
        self.worker.go_by(info.lease());
        Ok(Bound {
            pull,
            created: info.created,
        })
    }

    /// Fetches and hands out until something is lost or it is time to stop.
    async fn session(&self, mut pull: Pull, in_hand: &mut InHand, losses: &mut Losses) -> End {
        let worker = &self.worker;
        let mut connected = worker.client.signals().connected();
        connected.mark_unchanged();
        let mut unavailable = worker.outages.watch();
        let mut lease = worker.lease.subscribe();
        let mut renew = self.renewals();
        let capacity = self.concurrency.saturating_mul(2);
        let mut served = false;
        let mut anew = false;
        let reason = loop {
            if *unavailable.borrow_and_update() == 0 {
                in_hand.start(worker);
                let room = capacity.saturating_sub(in_hand.leases.len());
                match timeout(SAY_WITHIN, pull.top_up(room, capacity / 4)).await {
                    Ok(Ok(())) => (),
                    Ok(Err(err)) => break Chain(&err).to_string(),
                    Err(_) => break "the connection's queue is full".to_owned(),
                }
            }
            let patience = pull.patience_ends();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return End::Stopped(pull.close().await),
                _ = renew.tick() => in_hand.renew(worker).await,
                Ok(()) = lease.changed() => renew = self.renewals(),
                Some(job) = in_hand.jobs.join_next() => in_hand.finished(job),
                pulled = pull.next() => match pulled {
                    Pulled::Lost(reason) => break reason,
                    heard => {
                        if !mem::replace(&mut served, true) {
                            self.is_served(losses);
                        }
                        if let Pulled::Message(message) = heard {
                            in_hand.accept(message, worker).await;
                        }
                    }
                },
                changed = connected.changed() => {
                    if changed.is_ok() {
                        anew = true;
                        break "connection was made anew".to_owned();
                    }
                }
                _ = unavailable.changed() => (),
                () = sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => {
                    worker.client.unheard(pull.heard());
                    break "server is silent".to_owned();
                }
            }
        };
        // What was delivered is ours, and would otherwise wait for the end of its lease.
        for message in pull.close().await {
            in_hand.accept(message, worker).await;
        }
        if !served && !anew {
            losses.unserved = true;
            let reason = format!("it is there, and serves nothing: {reason}");
            let health = worker.client.health();
            health.report(&self.part(), Severity::NotReady, reason);
        }
        End::Lost(reason)
    }

    /// Notes that the server has answered a request for messages.
    fn is_served(&self, losses: &mut Losses) {
        if mem::take(&mut losses.unserved) {
            self.worker.client.health().clear(&self.part());
        }
    }

    /// When the leases are renewed: at once, and three times in each.
    fn renewals(&self) -> Interval {
        let lease = *self.worker.lease.borrow();
        // An operator may set a nanosecond, and a third of that is no time at all.
        let mut renew = interval((lease / 3).max(Duration::from_millis(1)));
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renew
    }

    /// Hands back what has not started, lets finish what has, and makes sure of the acknowledgements.
    async fn drain(&self, mut in_hand: InHand, on_the_way: Vec<Message>) {
        let worker = &self.worker;
        let deadline = after(self.drain);
        for message in on_the_way {
            if let Some(received) = in_hand.sort_out(message, worker).await {
                worker.hand_over(&received).await;
            }
        }
        for received in in_hand.lanes.take_unstarted() {
            in_hand.leases.remove(&received.position.place());
            worker.hand_over(&received).await;
        }
        let mut renew = self.renewals();
        while !in_hand.jobs.is_empty() {
            tokio::select! {
                Some(job) = in_hand.jobs.join_next() => in_hand.finished(job),
                _ = renew.tick() => in_hand.renew(worker).await,
                () = sleep_until(deadline) => {
                    tracing::warn!(
                        part = self.part(),
                        unfinished = in_hand.jobs.len(),
                        "handlers are stopped; their events come again"
                    );
                    in_hand.jobs.shutdown().await;
                }
            }
        }
        // The server takes acknowledgements in the order they were said: when it has confirmed the last, it has all.
        if let Some(last) = in_hand.last_acked {
            let confirmed = timeout(LAST_WORDS, worker.confirm(&last, "+ACK".to_owned())).await;
            if confirmed.is_err() {
                tracing::warn!(
                    part = self.part(),
                    "acknowledgements are not confirmed; events may come again"
                );
            }
        }
    }
}

impl InHand {
    /// Forgets what was acknowledged to a consumer that is gone. One that is created anew replays, and then a redelivery
    /// may be of an event that has not succeeded this time.
    fn is_bound_to(&mut self, created: String) {
        if self.acked_to != created {
            self.acked_to = created;
            self.acked.clear();
            self.acked_set.clear();
        }
    }

    async fn renew(&self, worker: &Worker) {
        for reply in self.leases.values() {
            // One that does not get through stands for all: the connection is gone for the moment.
            if !worker.renew(reply).await {
                return;
            }
        }
    }

    /// Takes a message in. It is started by the session, unless something is unavailable.
    async fn accept(&mut self, message: Message, worker: &Worker) {
        if let Some(received) = self.sort_out(message, worker).await {
            let place = received.position.place();
            self.leases.insert(place, received.reply.clone());
            self.lanes.push(received.key.clone(), received);
        }
    }

    /// Reads a delivery. `None`: the message is no delivery, or it is here already, or was acknowledged.
    async fn sort_out(&mut self, message: Message, worker: &Worker) -> Option<Received> {
        let Some(received) = Received::read(message) else {
            tracing::warn!("message is no delivery of a consumer");
            return None;
        };
        let place = received.position.place();
        if let Some(reply) = self.leases.get_mut(&place) {
            // The lease ran out while this process stood still, and nobody else was given the message.
            *reply = received.reply;
            return None;
        }
        // Our acknowledgement crossed the redelivery. It cannot have crossed a first one: that is a replay.
        if received.deliveries > 1 && self.acked_set.contains(&place) {
            worker.ack(&received.reply).await;
            return None;
        }
        Some(received)
    }

    fn start(&mut self, worker: &Arc<Worker>) {
        while let Some((key, received)) = self.lanes.start() {
            let worker = Arc::clone(worker);
            self.jobs.spawn(async move {
                let place = received.position.place();
                let reply = received.reply.clone();
                let outcome = worker.work(received).await;
                Job {
                    key,
                    place,
                    reply,
                    outcome,
                }
            });
        }
    }

    fn finished(&mut self, job: Result<Job, JoinError>) {
        let job = match job {
            Ok(job) => job,
            Err(err) if err.is_cancelled() => return,
            // Handlers' panics are caught where they are called: this one is ours.
            Err(err) => std::panic::resume_unwind(err.into_panic()),
        };
        self.leases.remove(&job.place);
        self.lanes.done(&job.key);
        match job.outcome {
            Outcome::Returned => (),
            Outcome::Acked | Outcome::Dead => {
                self.last_acked = Some(job.reply);
                self.acked_set.insert(job.place);
                self.acked.push_back(job.place);
                if self.acked.len() > REMEMBERED
                    && let Some(oldest) = self.acked.pop_front()
                {
                    self.acked_set.remove(&oldest);
                }
            }
        }
    }
}
