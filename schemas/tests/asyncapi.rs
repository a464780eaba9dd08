//! The AsyncAPI document: that it says what the list says, and that what it points at is there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use common::testing::sample;
use common::{
    Contract, Event, Key, ORDERS, ORDERS_SERVICE, Past, QueueGroup, RetryPolicy, Subjects,
    TICKETS_SERVICE, schemars, subjects,
};
use schemas::{ASYNCAPI, Difference, Documents, asyncapi, compare, documents, write};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

fn all() -> Documents {
    let mut all = documents(|subject: Subjects| Some(sample::example(subject))).unwrap();
    all.extend(asyncapi::<Subjects>(&all));
    all
}

fn document() -> Value {
    serde_json::from_str(&all()[ASYNCAPI]).unwrap()
}

#[test]
fn every_line_of_the_list_is_a_channel_with_its_operations() {
    let document = document();
    let mut expected = BTreeSet::new();
    for contract in Contract::<Subjects>::all() {
        let channel = &document["channels"][&contract.file_stem];
        assert_eq!(channel["address"], format!("{}.{{key}}", contract.subject));
        assert!(channel["parameters"]["key"].is_object());
        let stream = &channel["x-nats-jetstream"];
        assert_eq!(stream["stream"], contract.stream.as_str());
        assert_eq!(stream["maxAgeMs"], 30_u64 * 24 * 60 * 60 * 1000);

        let file = &contract.file_stem;
        expected.insert(format!("{}.send.{file}", contract.producer));
        for group in contract.consumers {
            let name = format!("{group}.receive.{file}");
            let receive = &document["operations"][&name];
            assert_eq!(receive["action"], "receive");
            let binding = json!({ "queue": group.as_str(), "bindingVersion": "0.1.0" });
            assert_eq!(receive["bindings"], json!({ "nats": binding }));
            let settings = &receive["x-nats-jetstream"];
            let dead = format!("dead-letter.{group}.{}.{{key}}", contract.subject);
            let redrive = format!("redrive.{group}.{}.{{key}}", contract.subject);
            assert_eq!(settings["deadLetterSubject"], dead);
            assert_eq!(settings["redriveSubject"], redrive);
            assert_eq!(settings["durable"], group.as_str());
            expected.insert(name);
        }
    }
    let operations = document["operations"].as_object().unwrap();
    assert_eq!(
        operations.keys().cloned().collect::<BTreeSet<_>>(),
        expected
    );
}

#[test]
fn retries_are_those_of_a_runner_that_is_not_told_otherwise() {
    let document = document();
    let settings =
        &document["operations"]["orders-service.receive.ticket.created"]["x-nats-jetstream"];
    let policy = RetryPolicy::default();
    assert_eq!(settings["maxAttempts"], policy.max_attempts().get());
    let delays = settings["retryDelaysMs"].as_array().unwrap();
    assert_eq!(delays.len() + 1, policy.max_attempts().get() as usize);
    assert_eq!(delays[0], 200);
    assert_eq!(settings["ackWaitMs"], 10_000);
}

#[test]
fn only_the_scheduled_channel_has_a_subject_of_schedules() {
    let document = document();
    let channels = document["channels"].as_object().unwrap();
    let scheduled: Vec<_> = channels
        .values()
        .filter_map(|channel| channel["x-nats-jetstream"]["scheduleSubject"].as_str())
        .collect();
    assert_eq!(scheduled, ["schedule.expiration:complete.{key}"]);
}

#[test]
fn every_reference_points_at_something() {
    let (all, document) = (all(), document());
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 50, "{}", references.len());
    for reference in references {
        match reference.strip_prefix('#') {
            Some(pointer) => assert!(document.pointer(pointer).is_some(), "{reference}"),
            None => assert!(all.contains_key(reference), "{reference}"),
        }
    }
}

fn collect_references<'d>(value: &'d Value, references: &mut Vec<&'d str>) {
    match value {
        Value::Object(map) => {
            references.extend(map.get("$ref").and_then(Value::as_str));
            for value in map.values() {
                collect_references(value, references);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect_references(item, references);
            }
        }
        _ => (),
    }
}

#[test]
fn examples_are_valid_with_their_headers() {
    let (all, document) = (all(), document());
    for (name, message) in document["components"]["messages"].as_object().unwrap() {
        let payload = message["payload"]["schema"]["$ref"].as_str().unwrap();
        let payload: Value = serde_json::from_str(&all[payload]).unwrap();
        let examples = message["examples"].as_array().unwrap();
        assert_eq!(examples.len(), 1, "{name}");
        for (schema, example) in [
            (&payload, &examples[0]["payload"]),
            (&message["headers"], &examples[0]["headers"]),
        ] {
            let validator = jsonschema::draft202012::options()
                .should_validate_formats(true)
                .build(schema)
                .unwrap();
            if let Err(err) = validator.validate(example) {
                panic!("{name}: {err}");
            }
        }
        let headers = &examples[0]["headers"];
        let key = headers["ce-subject"].as_str().unwrap();
        let text = examples[0]["payload"].to_string();
        assert!(text.contains(key), "{name} is not about {key}: {text}");
    }
}

#[test]
fn document_that_was_edited_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = all();
    write(&all, folder.path()).unwrap();
    let edited = all[ASYNCAPI].replace("\"ackWaitMs\": 10000", "\"ackWaitMs\": 30000");
    all.insert(ASYNCAPI.to_owned(), edited);

    let mut differences = compare(&all, folder.path()).unwrap();

    let difference = differences.remove(ASYNCAPI).unwrap();
    assert!(differences.is_empty(), "{differences:?}");
    let Difference::Derived { diff } = difference else {
        panic!("{difference:?}");
    };
    assert!(diff.contains("-        \"ackWaitMs\": 10000"), "{diff}");
}

const ARCHIVE: QueueGroup = QueueGroup::new("archive");

subjects! {
    /// A list with an event that has a past.
    enum Moves {
        /// Something moved.
        Moved: "thing:moved", stream ORDERS, from ORDERS_SERVICE, to [TICKETS_SERVICE, ARCHIVE];
    }
}

/// Something moved.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct Moved {
    metres: u32,
}

/// Something moved, in feet.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(example = MovedInFeet { feet: 9 })]
struct MovedInFeet {
    feet: u32,
}

impl From<MovedInFeet> for Moved {
    fn from(past: MovedInFeet) -> Self {
        Self {
            metres: past.feet / 3,
        }
    }
}

impl Event for Moved {
    const SUBJECT: Moves = Moves::Moved;
    const PAST: &'static [Past<Self>] = &[Past::of::<MovedInFeet>()];

    fn key(&self) -> Key {
        Key::new("k").unwrap()
    }
}

#[test]
fn earlier_form_is_received_and_not_sent() {
    let schemas = documents(|_: Moves| Some(json!({ "metres": 3 }))).unwrap();
    let document = asyncapi::<Moves>(&schemas);
    let document: Value = serde_json::from_str(&document[ASYNCAPI]).unwrap();
    let messages = |operation: &str| {
        let messages = document["operations"][operation]["messages"].as_array();
        let messages = messages.unwrap().iter().map(|message| &message["$ref"]);
        messages.cloned().collect::<Vec<_>>()
    };
    let [v1, v2] =
        ["v1", "v2"].map(|form| format!("#/channels/thing.moved/messages/thing.moved.{form}"));
    assert_eq!(messages("orders-service.send.thing.moved"), [v2.as_str()]);
    assert_eq!(messages("archive.receive.thing.moved"), [v1, v2]);
}
