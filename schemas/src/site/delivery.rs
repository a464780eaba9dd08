//! How an event is kept and delivered, in words.

use std::time::Duration;

use common::{Contract, RetryPolicy, SubjectSet, Topology};
use serde_json::Value;

use super::html::escape;
use crate::asyncapi::jetstream;

/// How long the stream keeps the events.
pub(super) fn kept<S: SubjectSet>(contract: &Contract<S>, topology: &Topology) -> String {
    match jetstream::stream(contract, topology)["maxAgeMs"].as_u64() {
        Some(millis) => format!("kept for {}", in_words(millis)),
        None => "kept for ever".to_owned(),
    }
}

/// How each group is delivered the event, and where it goes when that fails.
pub(super) fn readers<S: SubjectSet>(contract: &Contract<S>, topology: &Topology) -> String {
    let of_group = |group: &common::QueueGroup| {
        let settings = jetstream::consumer(contract, *group, topology, &RetryPolicy::default());
        let delays = settings["retryDelaysMs"].as_array().into_iter().flatten();
        let delays: Vec<_> = delays.filter_map(Value::as_u64).map(in_words).collect();
        let text = |name: &str| escape(settings[name].as_str().unwrap_or_default());
        format!(
            "<dt>{group}</dt>\n<dd><p>Durable consumer <code>{durable}</code> on <code>{stream}</code>, explicit \
             acknowledgement within {ack_wait}, renewed while the handler works. At most {attempts} attempts, \
             {delays} apart.</p>\n\
             <p>Given up on <code>{dead}</code>, sent again on <code>{redrive}</code>.</p></dd>\n",
            group = escape(group.as_str()),
            durable = text("durable"),
            stream = text("stream"),
            ack_wait = in_words(settings["ackWaitMs"].as_u64().unwrap_or_default()),
            attempts = settings["maxAttempts"],
            delays = delays.join(", "),
            dead = text("deadLetterSubject"),
            redrive = text("redriveSubject"),
        )
    };
    let readers: String = contract.consumers.iter().map(of_group).collect();
    format!(
        "<details>\n<summary>Delivery</summary>\n<dl class=\"delivery\">\n{readers}</dl>\n</details>\n"
    )
}

/// `30 days`, `2 min`, `12.8 s`, `200 ms`.
fn in_words(millis: u64) -> String {
    let units = [(86_400_000, "days"), (60_000, "min"), (1000, "s")];
    let whole = units
        .iter()
        .find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) => format!("{} {name}", millis / unit),
        None if millis >= 1000 => format!("{} s", Duration::from_millis(millis).as_secs_f64()),
        None => format!("{millis} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_the_largest_unit_that_fits() {
        assert_eq!(in_words(2_592_000_000), "30 days");
        assert_eq!(in_words(120_000), "2 min");
        assert_eq!(in_words(10_000), "10 s");
        assert_eq!(in_words(12_800), "12.8 s");
        assert_eq!(in_words(200), "200 ms");
    }
}
