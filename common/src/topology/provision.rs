use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::config::{Config, Declared};
use super::{ConsumerPlan, Drift, Topology, TopologyError};
use crate::client::{ApiError, Client};

/// The stream is not there.
pub(crate) const STREAM_NOT_FOUND: u64 = 10059;
/// The consumer is not there.
const CONSUMER_NOT_FOUND: u64 = 10014;
/// Somebody else created it meanwhile, with other settings.
const STREAM_EXISTS: u64 = 10058;
const CONSUMER_EXISTS: u64 = 10148;
const CONSUMER_NAME_EXISTS: u64 = 10013;

/// Whether what the server has beyond the lists is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pruning {
    /// It stays.
    Keep,
    /// It goes.
    Remove,
}

/// What provisioning did to one stream or consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It was missing, and is there now.
    Created {
        /// `stream TICKETS`, `consumer orders-service on TICKETS`.
        of: String,
    },
    /// It was there with less, or with more than is kept, and was changed.
    Changed {
        /// `stream TICKETS`, `consumer orders-service on TICKETS`.
        of: String,
        /// What differed before.
        differences: Vec<Drift>,
        /// What this does not bring, for a person. `None`: nothing.
        note: Option<String>,
    },
    /// It was there as declared, or with more.
    Kept {
        /// `stream TICKETS`, `consumer orders-service on TICKETS`.
        of: String,
    },
    /// It was on the server and on no list, and was removed.
    Removed {
        /// `consumer orders-service on TICKETS`.
        of: String,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { of } => write!(f, "{of}: created"),
            Self::Kept { of } => write!(f, "{of}: as declared"),
            Self::Removed { of } => write!(f, "{of}: removed"),
            Self::Changed {
                of,
                differences,
                note,
            } => {
                write!(f, "{of}: changed")?;
                for drift in differences {
                    let Drift {
                        setting,
                        declared,
                        found,
                        ..
                    } = drift;
                    write!(f, ", {setting} from {found} to {declared}")?;
                }
                note.iter().try_for_each(|note| write!(f, " ({note})"))
            }
        }
    }
}

/// A stream, as the server tells of it.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) config: Config,
    pub(crate) state: StreamState,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) bytes: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

/// A consumer, as the server tells of it.
#[derive(Debug, Deserialize)]
pub(crate) struct ConsumerInfo {
    pub(crate) config: Config,
    /// When it was created: what tells it from an earlier one of its name.
    pub(crate) created: String,
    pub(crate) delivered: SequencePair,
    pub(crate) ack_floor: SequencePair,
    pub(crate) num_ack_pending: u64,
    pub(crate) num_pending: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct SequencePair {
    pub(crate) stream_seq: u64,
}

impl StreamInfo {
    pub(crate) async fn read(client: &Client, stream: &str) -> Result<Option<Self>, ApiError> {
        found(
            client
                .api(&format!("STREAM.INFO.{stream}"), &json!({}))
                .await,
            STREAM_NOT_FOUND,
        )
    }

    /// How long the stream keeps a message. `None`: for ever.
    pub(crate) fn max_age(&self) -> Option<Duration> {
        self.config
            .get("max_age")
            .and_then(Value::as_u64)
            .filter(|nanos| *nanos > 0)
            .map(Duration::from_nanos)
    }

    /// The most bytes the stream may take. `None`: without limit.
    pub(crate) fn max_bytes(&self) -> Option<u64> {
        self.config
            .get("max_bytes")
            .and_then(Value::as_u64)
            .filter(|limit| *limit > 0)
    }
}

impl ConsumerInfo {
    pub(crate) async fn read(
        client: &Client,
        stream: &str,
        durable: &str,
    ) -> Result<Option<Self>, ApiError> {
        let info = client
            .api(&format!("CONSUMER.INFO.{stream}.{durable}"), &json!({}))
            .await;
        match found(info, CONSUMER_NOT_FOUND) {
            Err(err) if err.code() == Some(STREAM_NOT_FOUND) => Ok(None),
            info => info,
        }
    }

    /// How long a delivered message belongs to its replica.
    pub(crate) fn lease(&self) -> Duration {
        let nanos = self.config.get("ack_wait").and_then(Value::as_u64);
        nanos.map_or(super::LEASE, Duration::from_nanos)
    }

    /// How many messages may be delivered and not settled: then the server delivers no new ones. `None`: any number.
    pub(crate) fn max_ack_pending(&self) -> Option<u64> {
        self.config
            .get("max_ack_pending")
            .and_then(Value::as_u64)
            .filter(|limit| *limit > 0)
    }

    /// The subjects that are delivered.
    pub(crate) fn filters(&self) -> Vec<&str> {
        let several = self.config.get("filter_subjects").and_then(Value::as_array);
        let one = self.config.get("filter_subject");
        several
            .into_iter()
            .flatten()
            .chain(one)
            .filter_map(Value::as_str)
            .collect()
    }
}

fn found<T>(answer: Result<T, ApiError>, missing: u64) -> Result<Option<T>, ApiError> {
    match answer {
        Ok(info) => Ok(Some(info)),
        Err(err) if err.code() == Some(missing) => Ok(None),
        Err(err) => Err(err),
    }
}

pub(super) async fn provision(
    topology: &Topology,
    client: &Client,
    replicas: NonZeroUsize,
    pruning: Pruning,
) -> Result<Vec<Change>, TopologyError> {
    let mut changes = Vec::new();
    let streams = topology
        .streams
        .values()
        .map(|plan| (plan.name.as_str(), Declared::stream(plan, replicas)));
    let dead_letters = (
        super::DEAD_LETTERS,
        Declared::dead_letters(topology.consumers.values(), replicas),
    );
    for (name, declared) in streams.chain([dead_letters]) {
        changes.push(provision_stream(client, name, &declared, pruning).await?);
    }
    for plan in topology.consumers.values() {
        changes.push(provision_consumer(client, plan, pruning).await?);
    }
    if pruning == Pruning::Remove {
        for stream in topology.streams.keys() {
            changes.extend(remove_strangers(topology, client, stream).await?);
        }
    }
    Ok(changes)
}

async fn provision_stream(
    client: &Client,
    name: &str,
    declared: &Declared,
    pruning: Pruning,
) -> Result<Change, TopologyError> {
    let put = async |subject: &str, config: &Config| {
        client
            .patiently(|| client.api::<Value>(subject, config))
            .await
    };
    loop {
        let info = client
            .patiently(|| StreamInfo::read(client, name))
            .await
            .map_err(|err| TopologyError::server(&declared.of, "read", &err))?;
        let Some(info) = info else {
            match put(&format!("STREAM.CREATE.{name}"), &declared.config).await {
                Ok(_) => {
                    return Ok(Change::Created {
                        of: declared.of.clone(),
                    });
                }
                Err(err) if err.code() == Some(STREAM_EXISTS) => continue,
                Err(err) => return Err(TopologyError::server(&declared.of, "created", &err)),
            }
        };
        let (change, config) = plan_change(declared, &info.config, pruning)?;
        if matches!(change, Change::Changed { .. }) {
            put(&format!("STREAM.UPDATE.{name}"), &config)
                .await
                .map_err(|err| TopologyError::server(&declared.of, "changed", &err))?;
        }
        return Ok(change);
    }
}

/// Creates the consumer, or raises it. Also how a runner that may create brings back a deleted one.
pub(super) async fn provision_consumer(
    client: &Client,
    plan: &ConsumerPlan,
    pruning: Pruning,
) -> Result<Change, TopologyError> {
    let declared = Declared::consumer(plan);
    let (stream, group) = (plan.stream.as_str(), plan.group.as_str());
    let put = async |config: &Config, action: &str| {
        let subject = format!("CONSUMER.CREATE.{stream}.{group}");
        let request = json!({ "stream_name": stream, "config": config, "action": action });
        client
            .patiently(|| client.api::<Value>(&subject, &request))
            .await
    };
    loop {
        let info = client
            .patiently(|| ConsumerInfo::read(client, stream, group))
            .await
            .map_err(|err| TopologyError::server(&declared.of, "read", &err))?;
        let Some(info) = info else {
            match put(&declared.config, "create").await {
                Ok(_) => return Ok(Change::Created { of: declared.of }),
                Err(err) if matches!(err.code(), Some(CONSUMER_EXISTS | CONSUMER_NAME_EXISTS)) => {}
                Err(err) => return Err(TopologyError::server(&declared.of, "created", &err)),
            }
            continue;
        };
        let (mut change, config) = plan_change(&declared, &info.config, pruning)?;
        if let Change::Changed {
            differences, note, ..
        } = &mut change
        {
            if differences
                .iter()
                .any(|drift| drift.setting == "filter_subjects")
            {
                *note = Some(format!(
                    "events up to sequence {} are behind it and do not come",
                    info.ack_floor.stream_seq
                ));
            }
            put(&config, "update")
                .await
                .map_err(|err| TopologyError::server(&declared.of, "changed", &err))?;
        }
        return Ok(change);
    }
}

/// Says what is left as it is.
fn warn_of<'d>(others: impl IntoIterator<Item = &'d Drift>) {
    for drift in others {
        tracing::warn!(%drift, "server has a setting of its own, which is left as it is");
    }
}

/// What has to be done for `found` to be as declared, and the configuration that does it.
fn plan_change(
    declared: &Declared,
    found: &Config,
    pruning: Pruning,
) -> Result<(Change, Config), TopologyError> {
    let comparison = declared.compare(found);
    if let Some(difference) = comparison.fixed.into_iter().next() {
        return Err(TopologyError::Immutable { difference });
    }
    let raised = declared.raise(found, pruning);
    let stays = |drift: &Drift| raised.get(drift.setting) == found.get(drift.setting);
    warn_of(comparison.other.iter().filter(|drift| stays(drift)));
    let of = declared.of.clone();
    if raised == *found {
        return Ok((Change::Kept { of }, raised));
    }
    let mut differences = comparison.less;
    differences.extend(comparison.more);
    differences.extend(comparison.other);
    differences.retain(|drift| !stays(drift));
    let change = Change::Changed {
        of,
        differences,
        note: None,
    };
    Ok((change, raised))
}

/// Removes the durable consumers of groups that no line names.
async fn remove_strangers(
    topology: &Topology,
    client: &Client,
    stream: &'static str,
) -> Result<Vec<Change>, TopologyError> {
    #[derive(Deserialize)]
    struct Names {
        #[serde(default)]
        consumers: Option<Vec<String>>,
        total: usize,
    }
    let of = format!("stream {stream}");
    let mut names = Vec::new();
    loop {
        let page: Names = client
            .api(
                &format!("CONSUMER.NAMES.{stream}"),
                &json!({ "offset": names.len() }),
            )
            .await
            .map_err(|err| TopologyError::server(&of, "read", &err))?;
        let page_names = page.consumers.unwrap_or_default();
        let done = page_names.is_empty();
        names.extend(page_names);
        if done || names.len() >= page.total {
            break;
        }
    }
    let mut removed = Vec::new();
    for name in names {
        if topology
            .consumers
            .keys()
            .any(|(on, group)| *on == stream && *group == name)
        {
            continue;
        }
        let of = format!("consumer {name} on {stream}");
        client
            .api::<Value>(&format!("CONSUMER.DELETE.{stream}.{name}"), &json!({}))
            .await
            .map_err(|err| TopologyError::server(&of, "removed", &err))?;
        removed.push(Change::Removed { of });
    }
    Ok(removed)
}

pub(super) async fn verify(
    topology: &Topology,
    client: &Client,
) -> Result<Vec<Drift>, TopologyError> {
    let mut less = Vec::new();
    let mut more = Vec::new();
    let streams = topology.streams.values().map(|plan| {
        (
            plan.name.as_str(),
            Declared::stream(plan, NonZeroUsize::MIN),
        )
    });
    let dead_letters = (
        super::DEAD_LETTERS,
        Declared::dead_letters(topology.consumers.values(), NonZeroUsize::MIN),
    );
    for (name, declared) in streams.chain([dead_letters]) {
        let info = client
            .patiently(|| StreamInfo::read(client, name))
            .await
            .map_err(|err| TopologyError::server(&declared.of, "read", &err))?;
        compare(
            &declared,
            info.map(|info| info.config),
            &mut less,
            &mut more,
        );
    }
    for plan in topology.consumers.values() {
        let declared = Declared::consumer(plan);
        let (stream, group) = (plan.stream.as_str(), plan.group.as_str());
        let info = client
            .patiently(|| ConsumerInfo::read(client, stream, group))
            .await
            .map_err(|err| TopologyError::server(&declared.of, "read", &err))?;
        compare(
            &declared,
            info.map(|info| info.config),
            &mut less,
            &mut more,
        );
    }
    if less.is_empty() {
        Ok(more)
    } else {
        Err(TopologyError::Drift { differences: less })
    }
}

fn compare(
    declared: &Declared,
    found: Option<Config>,
    less: &mut Vec<Drift>,
    more: &mut Vec<Drift>,
) {
    match found {
        Some(found) => {
            let comparison = declared.compare(&found);
            less.extend(comparison.fixed);
            less.extend(comparison.less);
            more.extend(comparison.more);
            warn_of(&comparison.other);
        }
        None => less.push(Drift {
            of: declared.of.clone(),
            setting: "it",
            declared: "present".to_owned(),
            found: "missing".to_owned(),
        }),
    }
}

impl Topology {
    /// Where the consumer of a group on a stream has less than is declared of it.
    pub(crate) fn lacks(&self, stream: &str, group: &str, found: &ConsumerInfo) -> Vec<Drift> {
        let plans = self.consumers.values();
        plans
            .filter(|plan| plan.stream.as_str() == stream && plan.group.as_str() == group)
            .flat_map(|plan| {
                let comparison = Declared::consumer(plan).compare(&found.config);
                [comparison.fixed, comparison.less].concat()
            })
            .collect()
    }

    /// Brings back the consumer of a group on a stream, with what it should have.
    pub(crate) async fn provision_consumer(
        &self,
        client: &Client,
        stream: &str,
        group: &str,
    ) -> Result<(), TopologyError> {
        for plan in self.consumers.values() {
            if plan.stream.as_str() == stream && plan.group.as_str() == group {
                provision_consumer(client, plan, Pruning::Keep).await?;
            }
        }
        Ok(())
    }
}
