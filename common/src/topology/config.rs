//! What is declared, in the server's words, and how it compares with what the server has.

use std::num::NonZeroUsize;

use serde_json::{Map, Value, json};

use super::{
    ConsumerPlan, DEAD_LETTERS, DUPLICATE_WINDOW, Drift, LEASE, MAX_AGE, MAX_BYTES, StreamPlan,
    given_up,
};
use crate::dead_letter::redrive_subject;
use crate::retry::MAX_DELIVER;

/// A stream's or a consumer's configuration, as the server's API has it.
pub(super) type Config = Map<String, Value>;

/// How a setting that the server has may differ from the declared one.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Not at all, and the server cannot change it.
    Fixed,
    /// Not at all.
    Equal,
    /// It may have more entries.
    Includes,
    /// It may have more entries, and they are other lists' business.
    Shares,
    /// It may be more; `0` or `-1` is without limit.
    AtLeast,
    /// The server must not have it.
    Absent,
    /// It may be any other: what runs goes by what it finds.
    Advised,
}

const STREAM_RULES: &[(&str, Rule)] = &[
    ("storage", Rule::Fixed),
    ("retention", Rule::Fixed),
    ("discard", Rule::Equal),
    ("subjects", Rule::Includes),
    ("max_age", Rule::AtLeast),
    ("max_bytes", Rule::AtLeast),
    ("duplicate_window", Rule::AtLeast),
    ("num_replicas", Rule::AtLeast),
    ("allow_msg_schedules", Rule::Equal),
];

/// The stream of dead letters is shared by all lists of a server.
const DEAD_LETTERS_RULES: &[(&str, Rule)] = &[
    ("storage", Rule::Fixed),
    ("retention", Rule::Fixed),
    ("discard", Rule::Equal),
    ("subjects", Rule::Shares),
    ("max_age", Rule::AtLeast),
    ("max_bytes", Rule::AtLeast),
    ("duplicate_window", Rule::AtLeast),
    ("num_replicas", Rule::AtLeast),
];

const CONSUMER_RULES: &[(&str, Rule)] = &[
    ("ack_policy", Rule::Fixed),
    ("deliver_policy", Rule::Fixed),
    ("filter_subjects", Rule::Includes),
    ("max_deliver", Rule::AtLeast),
    ("max_ack_pending", Rule::AtLeast),
    // It would overrule the delays of the runner, and its leases.
    ("backoff", Rule::Absent),
    ("ack_wait", Rule::Advised),
];

/// Something the server must have.
pub(super) struct Declared {
    /// `stream TICKETS`, `consumer orders-service on TICKETS`.
    pub(super) of: String,
    pub(super) config: Config,
    rules: &'static [(&'static str, Rule)],
}

impl Declared {
    pub(super) fn stream(plan: &StreamPlan, replicas: NonZeroUsize) -> Self {
        let channels = &plan.channels;
        let mut subjects: Vec<_> = channels.iter().map(|c| format!("{c}.*")).collect();
        subjects.extend(channels.iter().map(|c| redrive_subject("*", c, "*")));
        let mut config = settings(&json!({
            "name": plan.name.as_str(),
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "max_age": nanos(MAX_AGE),
            "max_bytes": MAX_BYTES,
            "duplicate_window": nanos(DUPLICATE_WINDOW),
            "num_replicas": replicas.get(),
        }));
        if plan.name.takes_schedules() {
            subjects.extend(channels.iter().map(|c| format!("schedule.{c}.*")));
            // The server refuses `discard new` beside schedules (ADR-51).
            config.insert("discard".to_owned(), json!("old"));
            config.insert("allow_msg_schedules".to_owned(), json!(true));
        }
        config.insert("subjects".to_owned(), json!(subjects));
        Self {
            of: format!("stream {}", plan.name),
            config,
            rules: STREAM_RULES,
        }
    }

    /// With what the server says of messages that it gives up, for these consumers.
    pub(super) fn dead_letters<'p>(
        consumers: impl Iterator<Item = &'p ConsumerPlan>,
        replicas: NonZeroUsize,
    ) -> Self {
        let mut subjects = vec!["dead-letter.>".to_owned()];
        subjects.extend(consumers.map(|plan| given_up(plan.stream.as_str(), plan.group.as_str())));
        Self {
            of: format!("stream {DEAD_LETTERS}"),
            config: settings(&json!({
                "name": DEAD_LETTERS,
                "subjects": subjects,
                "storage": "file",
                "retention": "limits",
                "discard": "new",
                "max_age": 0,
                "max_bytes": MAX_BYTES,
                "duplicate_window": nanos(DUPLICATE_WINDOW),
                "num_replicas": replicas.get(),
            })),
            rules: DEAD_LETTERS_RULES,
        }
    }

    pub(super) fn consumer(plan: &ConsumerPlan) -> Self {
        let channels = &plan.channels;
        let mut filters: Vec<_> = channels.iter().map(|c| format!("{c}.*")).collect();
        let group = plan.group.as_str();
        filters.extend(channels.iter().map(|c| redrive_subject(group, c, "*")));
        Self {
            of: format!("consumer {} on {}", plan.group, plan.stream),
            config: settings(&json!({
                "name": plan.group.as_str(),
                "durable_name": plan.group.as_str(),
                "filter_subjects": filters,
                "ack_policy": "explicit",
                "ack_wait": nanos(LEASE),
                "deliver_policy": "all",
                "max_deliver": MAX_DELIVER,
                "max_ack_pending": 10_000,
            })),
            rules: CONSUMER_RULES,
        }
    }

    /// Where the server has less than declared, and where it has more.
    pub(super) fn compare(&self, found: &Config) -> Comparison {
        let mut comparison = Comparison::default();
        for &(setting, rule) in self.rules {
            let Some(declared) = self.declared(setting, rule) else {
                continue;
            };
            let found = found.get(setting).unwrap_or(&Value::Null);
            let drift = || Drift {
                of: self.of.clone(),
                setting,
                declared: declared.to_string(),
                found: found.to_string(),
            };
            match (rule, difference(rule, declared, found)) {
                (_, Difference::None) => (),
                (_, Difference::More) => comparison.more.push(drift()),
                (_, Difference::Other) => comparison.other.push(drift()),
                (Rule::Fixed, Difference::Less) => comparison.fixed.push(drift()),
                (_, Difference::Less) => comparison.less.push(drift()),
            }
        }
        comparison
    }

    /// What is declared of a setting. `None`: nothing, and the server may have what it likes.
    fn declared(&self, setting: &str, rule: Rule) -> Option<&Value> {
        match rule {
            Rule::Absent => Some(&Value::Null),
            Rule::Fixed
            | Rule::Equal
            | Rule::Includes
            | Rule::Shares
            | Rule::AtLeast
            | Rule::Advised => self.config.get(setting),
        }
    }

    /// What the server has, raised to what is declared; with `Pruning::Remove`, also lowered to it where entries are concerned.
    pub(super) fn raise(&self, found: &Config, pruning: super::Pruning) -> Config {
        let mut raised = found.clone();
        for &(setting, rule) in self.rules {
            let Some(declared) = self.declared(setting, rule) else {
                continue;
            };
            let has = found.get(setting).unwrap_or(&Value::Null);
            let value = match (difference(rule, declared, has), rule, pruning) {
                (Difference::Less, Rule::Absent, _) => {
                    raised.remove(setting);
                    // The server takes the first step of a `backoff` for `ack_wait`.
                    let lease = self.config.get_key_value("ack_wait");
                    raised.extend(lease.map(|(name, lease)| (name.clone(), lease.clone())));
                    continue;
                }
                (Difference::Less, Rule::Includes, super::Pruning::Keep)
                | (Difference::Less, Rule::Shares, _) => union(declared, has),
                (Difference::More, Rule::Includes, super::Pruning::Remove)
                | (Difference::Less, _, _) => declared.clone(),
                (Difference::None | Difference::More | Difference::Other, _, _) => continue,
            };
            raised.insert(setting.to_owned(), value);
        }
        raised
    }
}

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// The server has less, and it cannot be changed.
    pub(super) fixed: Vec<Drift>,
    /// The server has less.
    pub(super) less: Vec<Drift>,
    /// The server has more.
    pub(super) more: Vec<Drift>,
    /// The server has something else, which does no harm.
    pub(super) other: Vec<Drift>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Difference {
    None,
    Less,
    More,
    Other,
}

fn difference(rule: Rule, declared: &Value, found: &Value) -> Difference {
    if declared == found {
        return Difference::None;
    }
    match rule {
        Rule::Absent if found.as_array().is_some_and(Vec::is_empty) => Difference::None,
        Rule::Fixed | Rule::Equal | Rule::Absent => Difference::Less,
        Rule::Advised => Difference::Other,
        Rule::Includes | Rule::Shares => {
            let (declared, found) = (entries(declared), entries(found));
            if !declared.iter().all(|entry| found.contains(entry)) {
                Difference::Less
            } else if matches!(rule, Rule::Includes) && found.len() > declared.len() {
                Difference::More
            } else {
                Difference::None
            }
        }
        Rule::AtLeast => match (limit(declared), limit(found)) {
            (declared, found) if declared == found => Difference::None,
            (declared, found) if declared > found => Difference::Less,
            _ => Difference::More,
        },
    }
}

fn entries(value: &Value) -> Vec<&str> {
    let listed = value.as_array().into_iter().flatten();
    listed.filter_map(Value::as_str).collect()
}

/// A limit as a number that compares: none at all is the largest.
fn limit(value: &Value) -> u64 {
    value
        .as_u64()
        .filter(|limit| *limit > 0)
        .or_else(|| value.is_null().then_some(0))
        .unwrap_or(u64::MAX)
}

fn union(declared: &Value, found: &Value) -> Value {
    let mut all = entries(found);
    for entry in entries(declared) {
        if !all.contains(&entry) {
            all.push(entry);
        }
    }
    json!(all)
}

fn settings(value: &Value) -> Config {
    value.as_object().cloned().unwrap_or_default()
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Pruning;
    use super::*;
    use crate::name::{QueueGroup, StreamName};

    fn declared() -> Declared {
        Declared::stream(
            &StreamPlan {
                name: StreamName::new("TICKETS"),
                channels: vec!["ticket:created"],
                producers: Vec::new(),
            },
            NonZeroUsize::MIN,
        )
    }

    fn with(setting: &str, value: Value) -> Config {
        let mut config = declared().config;
        config.insert(setting.to_owned(), value);
        config
    }

    #[track_caller]
    fn check(setting: &str, value: Value, expected: (usize, usize, usize)) {
        let comparison = declared().compare(&with(setting, value));
        let counts = (
            comparison.fixed.len(),
            comparison.less.len(),
            comparison.more.len(),
        );
        assert_eq!(counts, expected, "{setting}: fixed, less, more");
    }

    #[test]
    fn less_on_the_server_is_told_from_more() {
        check("max_age", json!(1), (0, 1, 0));
        check("max_age", json!(0), (0, 0, 1));
        check("max_bytes", json!(-1), (0, 0, 1));
        check("max_bytes", json!(1024), (0, 1, 0));
        check("num_replicas", json!(3), (0, 0, 1));
        check("discard", json!("old"), (0, 1, 0));
        check("storage", json!("memory"), (1, 0, 0));
        check("subjects", json!(["ticket:created.*"]), (0, 1, 0));
        check(
            "subjects",
            json!(["a", "redrive.*.ticket:created.*", "ticket:created.*"]),
            (0, 0, 1),
        );
        check(
            "subjects",
            json!(["redrive.*.ticket:created.*", "ticket:created.*"]),
            (0, 0, 0),
        );
    }

    #[test]
    fn provisioning_adds_and_pruning_removes() {
        let found = with("subjects", json!(["other.*", "ticket:created.*"]));
        let kept = declared().raise(&found, Pruning::Keep);
        assert_eq!(
            kept["subjects"],
            json!(["other.*", "ticket:created.*", "redrive.*.ticket:created.*"])
        );
        let pruned = declared().raise(&found, Pruning::Remove);
        assert_eq!(pruned["subjects"], declared().config["subjects"]);
    }

    fn consumer() -> Declared {
        Declared::consumer(&ConsumerPlan {
            stream: StreamName::new("TICKETS"),
            group: QueueGroup::new("orders-service"),
            channels: vec!["ticket:created"],
        })
    }

    #[test]
    fn delays_of_the_server_are_taken_out() {
        let declared = consumer();
        let mut found = declared.config.clone();
        found.insert("backoff".to_owned(), json!([1_000_000_000_u64]));
        found.insert("ack_wait".to_owned(), json!(1_000_000_000_u64));

        let comparison = declared.compare(&found);
        let [drift] = &comparison.less[..] else {
            panic!("{comparison:?}");
        };
        assert_eq!(
            drift.to_string(),
            "consumer orders-service on TICKETS: backoff is [1000000000], declared null"
        );
        assert_eq!(declared.raise(&found, Pruning::Keep), declared.config);

        found.insert("backoff".to_owned(), json!([]));
        assert!(declared.compare(&found).less.is_empty());
    }

    #[test]
    fn lease_of_the_servers_own_stays_and_is_said() {
        let declared = consumer();
        let mut found = declared.config.clone();
        found.insert("ack_wait".to_owned(), json!(30_000_000_000_u64));

        let comparison = declared.compare(&found);
        assert!(comparison.less.is_empty() && comparison.fixed.is_empty());
        assert_eq!(comparison.other[0].setting, "ack_wait");
        assert_eq!(declared.raise(&found, Pruning::Remove), found);
    }

    #[test]
    fn raising_never_lowers_a_limit() {
        let found = with("max_bytes", json!(-1));
        assert_eq!(
            declared().raise(&found, Pruning::Remove)["max_bytes"],
            json!(-1)
        );
    }
}
