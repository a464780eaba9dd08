use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::client::{ApiError, Client};
use crate::event::Event;
use crate::name::{QueueGroup, StreamName};
use crate::subject_set::{EventVisitor, Listed, SubjectSet};

mod config;
mod described;
mod provision;

pub use provision::Change;
use provision::Pruning;
pub(crate) use provision::{ConsumerInfo, STREAM_NOT_FOUND, StreamInfo, StreamState};

/// How long a stream keeps an event: 30 days.
pub(crate) const MAX_AGE: Duration = Duration::from_hours(30 * 24);
/// How long the server remembers a `Nats-Msg-Id`: two minutes.
pub(crate) const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);
/// How many bytes a stream may take before it refuses new events: 1 GiB.
pub(crate) const MAX_BYTES: u64 = 1 << 30;
/// How long a delivered message belongs to the replica that has it, unless renewed: 10 s.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// The stream of the dead letters of every queue group.
pub(crate) const DEAD_LETTERS: &str = "DEAD_LETTERS";

/// Where the server says that it gives up a message of a group: it was delivered as often as the server allows.
/// A message without an answer, said once, so that whoever is to hear of it must have a stream for it.
pub(crate) fn given_up(stream: &str, group: &str) -> String {
    format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{stream}.{group}")
}

/// What the server must have for lists of subjects: their streams, a durable consumer for each
/// queue group on each stream that it reads, and the stream of dead letters.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    streams: BTreeMap<&'static str, StreamPlan>,
    consumers: BTreeMap<(&'static str, &'static str), ConsumerPlan>,
}

/// A stream, as the lists declare it.
#[derive(Debug, Clone)]
pub(crate) struct StreamPlan {
    pub(crate) name: StreamName,
    channels: Vec<&'static str>,
    producers: Vec<QueueGroup>,
}

/// A durable consumer, as the lists declare it.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerPlan {
    pub(crate) stream: StreamName,
    pub(crate) group: QueueGroup,
    pub(crate) channels: Vec<&'static str>,
}

/// Whether a process may create what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Provisioning {
    /// Nothing is created; what is missing or less than declared stops the start. For production.
    #[default]
    BindOnly,
    /// What is missing is created, what is less is raised; nothing is removed.
    Create {
        /// How many servers store each stream: 1 or 3.
        replicas: NonZeroUsize,
    },
}

impl Topology {
    /// What the list `S` needs.
    #[must_use]
    pub fn of<S: SubjectSet>() -> Self {
        let mut topology = Self::default();
        topology.add_list::<S>();
        topology
    }

    /// What this and the list `S` need.
    #[must_use]
    pub fn and<S: SubjectSet>(mut self) -> Self {
        self.add_list::<S>();
        self
    }

    fn add_list<S: SubjectSet>(&mut self) {
        for subject in S::ALL {
            subject.visit(self);
        }
    }

    /// What one queue group needs of this: the streams it reads, its consumers on them, and
    /// the streams it publishes to.
    pub(crate) fn for_group(&self, group: QueueGroup) -> Self {
        let consumers: BTreeMap<_, _> = self
            .consumers
            .iter()
            .filter(|(_, plan)| plan.group == group)
            .map(|(key, plan)| (*key, plan.clone()))
            .collect();
        Self {
            streams: self
                .streams
                .iter()
                .filter(|(stream, plan)| {
                    plan.producers.contains(&group)
                        || consumers.keys().any(|(read, _)| read == *stream)
                })
                .map(|(key, plan)| (*key, plan.clone()))
                .collect(),
            consumers,
        }
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = &StreamPlan> {
        self.streams.values()
    }

    pub(crate) fn consumers(&self) -> impl Iterator<Item = &ConsumerPlan> {
        self.consumers.values()
    }

    /// Adds what another needs. Both may have channels of one stream.
    pub(crate) fn merge(&mut self, other: Self) {
        for theirs in other.streams.into_values() {
            let ours = self.stream(theirs.name);
            add_all(&mut ours.channels, theirs.channels);
            add_all(&mut ours.producers, theirs.producers);
        }
        for theirs in other.consumers.into_values() {
            let ours = self.consumer(theirs.stream, theirs.group);
            add_all(&mut ours.channels, theirs.channels);
        }
    }

    fn stream(&mut self, name: StreamName) -> &mut StreamPlan {
        self.streams
            .entry(name.as_str())
            .or_insert_with(|| StreamPlan {
                name,
                channels: Vec::new(),
                producers: Vec::new(),
            })
    }

    fn consumer(&mut self, stream: StreamName, group: QueueGroup) -> &mut ConsumerPlan {
        self.consumers
            .entry((stream.as_str(), group.as_str()))
            .or_insert_with(|| ConsumerPlan {
                stream,
                group,
                channels: Vec::new(),
            })
    }

    /// Creates what is missing on the server and raises what is less than declared. Nothing is removed
    /// but a consumer's `backoff`, which would overrule the delays of the [`RetryPolicy`](crate::RetryPolicy).
    ///
    /// Safe to run from several processes at once.
    ///
    /// # Errors
    ///
    /// [`TopologyError`] if the server does not answer, refuses, or has something that cannot be
    /// changed into what is declared.
    pub async fn provision(
        &self,
        client: &Client,
        replicas: NonZeroUsize,
    ) -> Result<Vec<Change>, TopologyError> {
        provision::provision(self, client, replicas, Pruning::Keep).await
    }

    /// As [`provision`](Self::provision), and removes what the server has beyond the lists:
    /// subjects, filters and the consumers of groups that are on no line. For use when no older replica runs.
    ///
    /// # Errors
    ///
    /// As [`provision`](Self::provision).
    pub async fn provision_and_prune(
        &self,
        client: &Client,
        replicas: NonZeroUsize,
    ) -> Result<Vec<Change>, TopologyError> {
        provision::provision(self, client, replicas, Pruning::Remove).await
    }

    /// Compares the server with what is declared, and changes nothing. Returns where the server has
    /// more, which is no error: another version of a service may need it. An `ack_wait` of a consumer's own is
    /// logged as a warning: runners go by what they find.
    ///
    /// # Errors
    ///
    /// [`TopologyError::Drift`] with every difference if the server has less than declared, and the
    /// others if it does not answer or refuses.
    pub async fn verify(&self, client: &Client) -> Result<Vec<Drift>, TopologyError> {
        provision::verify(self, client).await
    }
}

impl EventVisitor for Topology {
    fn visit<E: Event>(&mut self) {
        let (stream, channel) = (<E as Listed>::STREAM, <E as Listed>::CHANNEL);
        let plan = self.stream(stream);
        add_all(&mut plan.channels, [channel]);
        add_all(&mut plan.producers, [<E as Listed>::PRODUCER]);
        for &group in <E as Listed>::CONSUMERS {
            add_all(&mut self.consumer(stream, group).channels, [channel]);
        }
    }
}

/// Adds those that are not there.
fn add_all<T: PartialEq>(all: &mut Vec<T>, some: impl IntoIterator<Item = T>) {
    for one in some {
        if !all.contains(&one) {
            all.push(one);
        }
    }
}

/// A difference between what is declared and what the server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// What differs: `stream TICKETS`, `consumer orders-service on TICKETS`.
    pub of: String,
    /// The setting, as the server names it.
    pub setting: &'static str,
    /// What is declared.
    pub declared: String,
    /// What the server has.
    pub found: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            of,
            setting,
            declared,
            found,
        } = self;
        write!(f, "{of}: {setting} is {found}, declared {declared}")
    }
}

/// Why the server is not as declared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// The server has less than is declared. Nothing was changed.
    #[error(
        "server has less than is declared ({}); provision it, or start with Provisioning::Create (a service: PROVISION=create)",
        list(differences)
    )]
    Drift {
        /// Every difference.
        differences: Vec<Drift>,
    },
    /// The server has something that cannot be changed into what is declared.
    #[error("{difference}, which cannot be changed on the server")]
    Immutable {
        /// The difference.
        difference: Drift,
    },
    /// The server did not answer in time. What was to be created or changed may be.
    #[error("{of} could not be {action}: {reason}")]
    Silent {
        /// What it was about.
        of: String,
        /// What was tried: `read`, `created`, `changed`.
        action: &'static str,
        /// What happened instead of an answer.
        reason: String,
    },
    /// The server refused.
    #[error("{of} could not be {action}: {reason}")]
    Server {
        /// What it was about.
        of: String,
        /// What was tried: `read`, `created`, `changed`.
        action: &'static str,
        /// What the server said.
        reason: String,
    },
}

fn list(differences: &[Drift]) -> String {
    let lines: Vec<_> = differences.iter().map(Drift::to_string).collect();
    lines.join("; ")
}

impl TopologyError {
    fn server(of: &str, action: &'static str, err: &ApiError) -> Self {
        let (of, reason) = (of.to_owned(), crate::Chain(err).to_string());
        if err.is_silence() {
            Self::Silent { of, action, reason }
        } else {
            Self::Server { of, action, reason }
        }
    }

    /// Whether the same may succeed once the server answers.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Drift { .. } | Self::Immutable { .. } | Self::Server { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{Key, Subjects, subjects};

    const LETTERS: StreamName = StreamName::new("LETTERS");
    const CITY: QueueGroup = QueueGroup::new("city");
    const VILLAGE: QueueGroup = QueueGroup::new("village");
    const ARCHIVE: QueueGroup = QueueGroup::new("archive");

    subjects! {
        /// What one team says.
        enum Ours {
            /// A letter was handed in.
            Posted: "letter:posted", stream LETTERS, from CITY, to [ARCHIVE];
        }
    }

    subjects! {
        /// What another says on the same stream.
        enum Theirs {
            /// A letter was delivered.
            Delivered: "letter:delivered", stream LETTERS, from VILLAGE, to [ARCHIVE];
        }
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Posted {
        id: Key,
    }

    impl Event for Posted {
        const SUBJECT: Ours = Ours::Posted;

        fn key(&self) -> Key {
            self.id.clone()
        }
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Delivered {
        id: Key,
    }

    impl Event for Delivered {
        const SUBJECT: Theirs = Theirs::Delivered;

        fn key(&self) -> Key {
            self.id.clone()
        }
    }

    #[test]
    fn lists_of_one_stream_are_added_to_each_other() {
        let mut merged = Topology::of::<Ours>();
        merged.merge(Topology::of::<Theirs>().for_group(ARCHIVE));

        for topology in [merged, Topology::of::<Ours>().and::<Theirs>()] {
            let stream = &topology.streams["LETTERS"];
            assert_eq!(stream.channels, ["letter:posted", "letter:delivered"]);
            assert_eq!(stream.producers, [CITY, VILLAGE]);
            let consumer = &topology.consumers[&("LETTERS", "archive")];
            assert_eq!(consumer.channels, ["letter:posted", "letter:delivered"]);
        }
    }

    #[test]
    fn every_group_has_one_consumer_on_each_stream_it_reads() {
        let topology = Topology::of::<Subjects>();
        let names: Vec<_> = topology.consumers.keys().copied().collect();
        assert_eq!(
            names,
            [
                ("EXPIRATIONS", "orders-service"),
                ("ORDERS", "payments-service"),
                ("ORDERS", "tickets-service"),
                ("PAYMENTS", "orders-service"),
                ("TICKETS", "orders-service"),
                ("TICKETS", "payments-service"),
            ]
        );
        assert_eq!(
            topology.consumers[&("ORDERS", "tickets-service")].channels,
            ["order:created", "order:cancelled", "order:completed"]
        );
    }

    #[test]
    fn drift_says_what_where_and_how_much() {
        let drift = Drift {
            of: "stream TICKETS".to_owned(),
            setting: "num_replicas",
            declared: "3".to_owned(),
            found: "1".to_owned(),
        };
        assert_eq!(
            drift.to_string(),
            "stream TICKETS: num_replicas is 1, declared 3"
        );
    }
}
