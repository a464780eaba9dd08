use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::error::Chain;
use crate::event::Event;
use crate::health::Severity;
use crate::listener::{Listener, assert_may_listen};
use crate::name::{QueueGroup, StreamName};
use crate::retry::RetryPolicy;
use crate::subject_set::{EventVisitor, Listed, SubjectSet};
use crate::topology::{LEASE, Provisioning, Topology, TopologyError};

mod attempts;
mod consumer;
#[cfg(feature = "sql")]
mod held;
mod lanes;
mod monitor;
mod outage;
mod poison;
mod pull;
mod received;
mod worker;

use attempts::Attempts;
use consumer::Consumer;
use outage::Outages;
use poison::Searched;
pub(crate) use poison::takes;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use received::Received;
pub(crate) use received::read_subject;
use worker::{Erased, Handler, Worker};

/// The part of the process's health that is not well until the server is known to be as declared.
const PART: &str = "streams and consumers";
/// How long until a server that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs the listeners of a process: fetches, hands over, settles, retries, dead-letters, drains.
///
/// Each queue group has one durable consumer on each stream, shared by all its replicas. Events of
/// one key are handled one after the other within a process; those of different keys at once.
#[must_use = "a runner does nothing until `run` is awaited"]
pub struct Runner {
    client: Client,
    provisioning: Provisioning,
    policy: RetryPolicy,
    concurrency: NonZeroUsize,
    drain: Duration,
    registered: Vec<Registered>,
    topology: Topology,
    listed: Vec<ListedChannel>,
}

/// A listener, and what its types say.
struct Registered {
    group: QueueGroup,
    stream: StreamName,
    channel: &'static str,
    handler: Arc<dyn Handler>,
    #[cfg(feature = "sql")]
    database: Option<(crate::Database, crate::Order)>,
    versioned: bool,
}

/// A channel of a list that a listener's event stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ListedChannel {
    channel: &'static str,
    stream: StreamName,
    consumers: &'static [QueueGroup],
    versioned: bool,
}

impl EventVisitor for Vec<ListedChannel> {
    fn visit<E: Event>(&mut self) {
        let listed = ListedChannel {
            channel: <E as Listed>::CHANNEL,
            stream: <E as Listed>::STREAM,
            consumers: <E as Listed>::CONSUMERS,
            versioned: E::VERSION.is_some(),
        };
        if !self.contains(&listed) {
            self.push(listed);
        }
    }
}

impl Runner {
    /// A runner without listeners. It creates nothing on the server, handles 32 events of a group and
    /// stream at once, and gives handlers 30 s to finish at shutdown.
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            provisioning: Provisioning::default(),
            policy: RetryPolicy::default(),
            concurrency: const { NonZeroUsize::MIN.saturating_add(31) },
            drain: Duration::from_secs(30),
            registered: Vec::new(),
            topology: Topology::default(),
            listed: Vec::new(),
        }
    }

    /// Whether streams and consumers that are missing are created at the start. The default is no.
    pub fn provisioning(mut self, provisioning: Provisioning) -> Self {
        self.provisioning = provisioning;
        self
    }

    /// How often, and when, a failed event is tried again. The default is [`RetryPolicy::default`].
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How many events of one group and stream are handled at once. As many again are fetched ahead. The default is 32.
    ///
    /// Events of one key are handled one after the other: where nearly all that waits is of one key, fewer run.
    pub fn concurrency(mut self, concurrency: NonZeroUsize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// How long handlers may finish at shutdown. The default is 30 s. Those that still run then are stopped, and their
    /// events are delivered again.
    pub fn drain_within(mut self, deadline: Duration) -> Self {
        self.drain = deadline;
        self
    }

    /// Adds a listener. The process is not ready until it hears something.
    pub fn listen<L: Listener>(mut self, listener: L) -> Self {
        const { assert_may_listen::<L>() };
        let part = consumer::part(L::QUEUE_GROUP, <L::Event as Listed>::STREAM);
        self.client.health().await_start(&part);
        for subject in <<L::Event as Listed>::Subjects as SubjectSet>::ALL {
            subject.visit(&mut self.listed);
        }
        self.topology
            .merge(Topology::of::<<L::Event as Listed>::Subjects>());
        self.registered.push(Registered {
            group: L::QUEUE_GROUP,
            stream: <L::Event as Listed>::STREAM,
            channel: <L::Event as Listed>::CHANNEL,
            versioned: L::Event::VERSION.is_some(),
            #[cfg(feature = "sql")]
            database: listener
                .ledger()
                .map(|(database, order)| (database.clone(), order)),
            handler: Arc::new(Erased(listener)),
        });
        self
    }

    /// Adds a listener that applies events to `database`.
    #[cfg(feature = "sql")]
    pub fn listen_in(
        self,
        database: &crate::Database,
        listener: impl crate::TransactionalListener,
    ) -> Self {
        self.listen(crate::InTransaction::new(database, listener))
    }

    /// Listens until `shutdown`, then drains: stops fetching, hands back what has not started, lets
    /// finish what has, and makes sure of the acknowledgements.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the listeners do not fit their lists, or the server is not as the lists declare. A server that
    /// does not answer is waited for. From then on troubles are reported to the client's [`health`](Client::health) and waited out.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        self.check()?;
        let topology =
            self.groups()
                .into_iter()
                .fold(Topology::default(), |mut topology, group| {
                    topology.merge(self.topology.for_group(group));
                    topology
                });
        tokio::pin!(shutdown);
        tokio::select! {
            declared = self.until_declared(&topology) => declared?,
            () = &mut shutdown => return Ok(()),
        }
        let stop = CancellationToken::new();
        let tasks = self.start(&topology, &stop);
        join(tasks, &stop, shutdown).await
    }

    /// Makes sure that the server is as the lists declare. One that does not answer was there a moment ago, and is
    /// waited for.
    async fn until_declared(&self, topology: &Topology) -> Result<(), TopologyError> {
        let health = self.client.health();
        loop {
            match self.declare(topology).await {
                Err(err) if err.is_retryable() => {
                    health.report(PART, Severity::NotReady, Chain(&err).to_string());
                    tokio::time::sleep(AGAIN).await; // back-off between attempts
                }
                declared => {
                    health.clear(PART);
                    return declared;
                }
            }
        }
    }

    async fn declare(&self, topology: &Topology) -> Result<(), TopologyError> {
        match self.provisioning {
            Provisioning::BindOnly => {
                for drift in topology.verify(&self.client).await? {
                    tracing::warn!(%drift, "server has more than is declared");
                }
            }
            Provisioning::Create { replicas } => {
                for change in topology.provision(&self.client, replicas).await? {
                    tracing::info!(%change, "provisioned");
                }
            }
        }
        Ok(())
    }

    fn groups(&self) -> HashSet<QueueGroup> {
        self.registered
            .iter()
            .map(|listener| listener.group)
            .collect()
    }

    /// One consumer for each group and stream.
    fn start(self, topology: &Topology, stop: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let mut by_consumer: HashMap<(QueueGroup, StreamName), Vec<Registered>> = HashMap::new();
        for listener in self.registered {
            by_consumer
                .entry((listener.group, listener.stream))
                .or_default()
                .push(listener);
        }
        let mut streams: HashMap<QueueGroup, Vec<StreamName>> = HashMap::new();
        for (group, stream) in by_consumer.keys() {
            streams.entry(*group).or_default().push(*stream);
        }
        for ((group, stream), listeners) in by_consumer {
            #[cfg(feature = "sql")]
            let attempts = listeners
                .iter()
                .find_map(|listener| listener.database.as_ref())
                .map_or(Attempts::Server, |(database, _)| {
                    Attempts::Database(crate::sql::GroupLedger {
                        database: database.clone(),
                        queue_group: group,
                        stream,
                    })
                });
            #[cfg(not(feature = "sql"))]
            let attempts = Attempts::Server;
            let part = format!("handlers of {group} on {stream}");
            let worker = Arc::new(Worker {
                client: self.client.clone(),
                group,
                stream,
                handlers: listeners
                    .into_iter()
                    .map(|listener| (listener.channel, listener.handler))
                    .collect(),
                policy: self.policy,
                attempts,
                outages: Outages::new(part, self.client.health(), stop.clone()),
                stop: stop.clone(),
                drain: self.drain,
                lease: watch::Sender::new(LEASE),
                streams: streams.get(&group).into_iter().flatten().copied().collect(),
                searched: Searched::default(),
                #[cfg(feature = "sql")]
                tries: held::Tries::default(),
                unburied: Mutex::default(),
            });
            #[cfg(feature = "sql")]
            tasks.spawn(Arc::clone(&worker).sweep());
            tasks.spawn(monitor::monitor(
                Arc::clone(&worker),
                topology.clone(),
                self.provisioning,
            ));
            let consumer = Consumer {
                worker,
                concurrency: self.concurrency.get(),
                provision: match self.provisioning {
                    Provisioning::BindOnly => None,
                    Provisioning::Create { .. } => Some(topology.clone()),
                },
                stop: stop.clone(),
                drain: self.drain,
            };
            tasks.spawn(consumer.run());
        }
        tasks
    }

    /// Whether the listeners are what the lists ask for.
    fn check(&self) -> Result<(), RunError> {
        if self.registered.is_empty() {
            return Err(RunError::NoListener);
        }
        let mut seen = HashSet::new();
        for Registered { group, channel, .. } in &self.registered {
            if !seen.insert((*group, *channel)) {
                return Err(RunError::Twice {
                    group: *group,
                    channel,
                });
            }
        }
        for group in self.groups() {
            for listed in &self.listed {
                let ListedChannel {
                    channel, consumers, ..
                } = *listed;
                if group.is_one_of(consumers) && !seen.contains(&(group, channel)) {
                    return Err(RunError::Unheard { group, channel });
                }
            }
        }
        #[cfg(feature = "sql")]
        {
            self.check_databases()?;
            self.check_orders()?;
        }
        Ok(())
    }

    /// A group keeps the accounts of one stream in one database: guards in two would each wait for
    /// what the other has applied.
    #[cfg(feature = "sql")]
    fn check_databases(&self) -> Result<(), RunError> {
        let mut databases = HashMap::new();
        for listener in &self.registered {
            let Registered {
                group,
                stream,
                channel,
                ..
            } = *listener;
            let Some((database, _)) = &listener.database else {
                continue;
            };
            let first = databases.entry((group, stream)).or_insert(database);
            if !database.is_same(first) {
                return Err(RunError::TwoDatabases { group, channel });
            }
        }
        Ok(())
    }

    /// A group reads the versions of an aggregate in one way; and who reads every version must hear of all.
    #[cfg(feature = "sql")]
    fn check_orders(&self) -> Result<(), RunError> {
        use crate::Order;
        let mut orders: HashMap<(QueueGroup, StreamName), Order> = HashMap::new();
        for listener in &self.registered {
            let Registered {
                group,
                stream,
                channel,
                versioned: true,
                ..
            } = *listener
            else {
                continue;
            };
            let order = listener
                .database
                .as_ref()
                .map_or(Order::Any, |(_, order)| *order);
            if *orders.entry((group, stream)).or_insert(order) != order {
                return Err(RunError::MixedOrders { group, channel });
            }
            let deaf = |listed: &&ListedChannel| {
                listed.stream == stream && listed.versioned && !group.is_one_of(listed.consumers)
            };
            if order == Order::EveryVersion
                && let Some(missing) = self.listed.iter().find(deaf)
            {
                return Err(RunError::MissingVersions {
                    group,
                    channel: missing.channel,
                });
            }
        }
        Ok(())
    }
}

/// Waits for every task, and stops them at `shutdown` or when one of them panics: the others drain all the same.
async fn join(
    mut tasks: JoinSet<()>,
    stop: &CancellationToken,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    tokio::pin!(shutdown);
    let mut outcome = Ok(());
    loop {
        tokio::select! {
            () = &mut shutdown, if !stop.is_cancelled() => stop.cancel(),
            ended = tasks.join_next() => match ended {
                None => return outcome,
                Some(Ok(())) => (),
                Some(Err(err)) => {
                    stop.cancel();
                    let reason = err.to_string();
                    outcome = outcome.and(Err(RunError::Task { reason }));
                }
            },
        }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels: Vec<_> = self
            .registered
            .iter()
            .map(|listener| listener.channel)
            .collect();
        f.debug_struct("Runner")
            .field("channels", &channels)
            .finish_non_exhaustive()
    }
}

/// Why the listeners did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is nothing to run.
    #[error("runner has no listener")]
    NoListener,
    /// Two listeners of one group claim one channel.
    #[error("`{group}` has two listeners for `{channel}`")]
    Twice {
        /// The group.
        group: QueueGroup,
        /// The channel.
        channel: &'static str,
    },
    /// A line names a group that does not listen: its consumer would get events that nobody handles.
    #[error(
        "the line of `{channel}` names `{group}`, which has no listener for it; add one, or take the group off the line"
    )]
    Unheard {
        /// The group.
        group: QueueGroup,
        /// The channel.
        channel: &'static str,
    },
    /// A group applies the events of one stream to two databases.
    #[cfg(feature = "sql")]
    #[error(
        "`{group}` applies `{channel}` to another database than the other channels of its stream; give them clones of one `Database`"
    )]
    TwoDatabases {
        /// The group.
        group: QueueGroup,
        /// The channel.
        channel: &'static str,
    },
    /// A group reads the versions of one stream's aggregates in two ways.
    #[cfg(feature = "sql")]
    #[error(
        "`{group}` reads `{channel}` in another order than the other versioned channels of its stream"
    )]
    MixedOrders {
        /// The group.
        group: QueueGroup,
        /// The channel.
        channel: &'static str,
    },
    /// A group reads every version, and a channel that carries versions does not name it: it would wait
    /// for what never comes.
    #[cfg(feature = "sql")]
    #[error(
        "`{group}` reads every version of its stream, and the line of `{channel}` does not name it"
    )]
    MissingVersions {
        /// The group.
        group: QueueGroup,
        /// The channel whose versions it would miss.
        channel: &'static str,
    },
    /// The server is not as the lists declare.
    #[error("streams and consumers are not as declared")]
    Topology(#[from] TopologyError),
    /// A task of the runner panicked. A bug of this crate.
    #[error("a task of the runner ended: {reason}")]
    Task {
        /// What it said.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn task_that_panics_lets_the_others_drain() {
        let stop = CancellationToken::new();
        let (drained, mut reports) = tokio::sync::mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(async { panic!("a bug") });
        let stopped = stop.clone();
        tasks.spawn(async move {
            stopped.cancelled().await;
            // As long as it takes for another task to be looked at.
            tokio::task::yield_now().await;
            drained.send(()).await.unwrap();
        });

        let outcome = join(tasks, &stop, pending()).await;

        assert!(matches!(outcome, Err(RunError::Task { .. })), "{outcome:?}");
        assert_eq!(reports.recv().await, Some(()));
    }
}
