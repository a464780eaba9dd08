//! What the NATS binding has no place for, read from what is provisioned. Times are in milliseconds.

use common::{Contract, QueueGroup, RetryPolicy, SubjectSet, Topology};
use serde_json::{Value, json};

use super::KEY;

/// The stream of a channel.
pub(crate) fn stream<S: SubjectSet>(contract: &Contract<S>, topology: &Topology) -> Value {
    let config = topology.stream_config(contract.stream).unwrap_or_default();
    let mut described = settings(&config);
    // A scheduled event waits on a subject of its own, from which the server publishes it.
    if let Some(subject) = subject(&config["subjects"], "schedule.", contract) {
        described["scheduleSubject"] = subject.into();
    }
    described
}

/// The stream of what was given up.
pub(super) fn dead_letters(topology: &Topology) -> Value {
    json!({ "deadLetters": settings(&topology.dead_letters_config()) })
}

/// The settings of a stream.
fn settings(config: &Value) -> Value {
    let mut settings = json!({
        "stream": config["name"],
        "storage": config["storage"],
        "retention": config["retention"],
        "discard": config["discard"],
        "maxBytes": config["max_bytes"],
        "duplicateWindowMs": millis(&config["duplicate_window"]),
    });
    // Without an age, nothing is removed.
    if config["max_age"] != 0 {
        settings["maxAgeMs"] = millis(&config["max_age"]);
    }
    settings
}

/// How a group reads a channel, and what becomes of what it cannot handle.
pub(crate) fn consumer<S: SubjectSet>(
    contract: &Contract<S>,
    group: QueueGroup,
    topology: &Topology,
    policy: &RetryPolicy,
) -> Value {
    let config = topology
        .consumer_config(contract.stream, group)
        .unwrap_or_default();
    let channel = contract.subject.as_str();
    let delays: Vec<_> = (1..)
        .map_while(|attempt| policy.delay_after(attempt))
        .map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
        .collect();
    json!({
        "stream": contract.stream.as_str(),
        "durable": config["durable_name"],
        "deliverPolicy": config["deliver_policy"],
        "ackPolicy": config["ack_policy"],
        "ackWaitMs": millis(&config["ack_wait"]),
        "maxAckPending": config["max_ack_pending"],
        "maxAttempts": policy.max_attempts(),
        "retryDelaysMs": delays,
        "deadLetterSubject": Topology::dead_letter_subject(group, channel, KEY),
        "redriveSubject": subject(&config["filter_subjects"], "redrive.", contract),
    })
}

/// The one of the subjects that begins so and is about the channel, with the key in its place.
fn subject<S: SubjectSet>(
    subjects: &Value,
    prefix: &str,
    contract: &Contract<S>,
) -> Option<String> {
    let channel = format!(".{}.", contract.subject.as_str());
    let subjects = subjects.as_array()?.iter().filter_map(Value::as_str);
    let mut of_channel = subjects.filter_map(|subject| subject.strip_suffix('*'));
    let found =
        of_channel.find(|subject| subject.starts_with(prefix) && subject.ends_with(&channel))?;
    Some(format!("{found}{KEY}"))
}

/// The server's nanoseconds.
fn millis(nanos: &Value) -> Value {
    nanos.as_u64().map(|nanos| nanos / 1_000_000).into()
}
