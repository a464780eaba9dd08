//! The list as an AsyncAPI document: channels, messages, and what each service sends and receives.

use common::{Contract, Event, EventVisitor, Form, Key, RetryPolicy, SubjectSet, Topology};
use serde_json::{Map, Value, json};

use crate::documents::{COMMENT, Documents, SCHEMAS};
use crate::json;

pub(crate) mod jetstream;

/// The file of the document, in the folder of the generated files.
pub const ASYNCAPI: &str = "asyncapi.json";

/// The version of the specification. 3.1 adds nothing for NATS, and fewer tools read it.
const SPECIFICATION: &str = "3.0.0";
/// The NATS binding, in which an operation has a queue and nothing else has anything.
const NATS_BINDING: &str = "0.1.0";
/// What a payload's schema is written in.
const SCHEMA_FORMAT: &str = "application/schema+json;version=draft-2020-12";
/// The key, as an address has it.
const KEY: &str = "{key}";

/// The AsyncAPI document of the list `S`. Payloads are references to the files of `schemas`, which
/// [`documents`](crate::documents) has made, and their examples are examples here.
///
/// Settings of streams, consumers and retries are those that [`Topology`] provisions and a runner
/// has that is not told otherwise, as extensions `x-nats-jetstream`: the binding has no place for them.
#[must_use]
pub fn asyncapi<S: SubjectSet>(schemas: &Documents) -> Documents {
    let contracts = Contract::<S>::all();
    let topology = Topology::of::<S>();
    let mut channels = Map::new();
    let mut operations = Map::new();
    let mut messages = Map::new();
    for contract in &contracts {
        for form in &contract.forms {
            let payload = payload_file(contract, form);
            messages.insert(
                message_name(contract, form),
                message(contract, form, &payload, schemas.get(&payload)),
            );
        }
        channels.insert(contract.file_stem.clone(), channel(contract, &topology));
        operations.extend(all_operations(contract, &topology));
    }
    let document = json!({
        "asyncapi": SPECIFICATION,
        "id": "urn:sgtickets",
        "info": {
            "title": "Events of the ticketing system",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Who says what to whom, over NATS JetStream. The NATS subject of an event is its channel and its key; the payload is bare JSON, and the envelope is CloudEvents 1.0 in binary mode: one header per attribute. An event is delivered at least once.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages },
        "x-comment": COMMENT,
        "x-nats-jetstream": jetstream::dead_letters(&topology),
    });
    Documents::from([(ASYNCAPI.to_owned(), json::to_text(&document))])
}

/// Where the form's schema is, seen from the document.
fn payload_file<S: SubjectSet>(contract: &Contract<S>, form: &Form) -> String {
    format!("{SCHEMAS}{}.json", message_name(contract, form))
}

/// `ticket.created.v1`.
fn message_name<S: SubjectSet>(contract: &Contract<S>, form: &Form) -> String {
    format!("{}.v{}", contract.file_stem, form.version)
}

fn message<S: SubjectSet>(
    contract: &Contract<S>,
    form: &Form,
    payload: &str,
    schema: Option<&String>,
) -> Value {
    let headers = contract.headers(form);
    let schema: Value = schema
        .and_then(|schema| serde_json::from_str(schema).ok())
        .unwrap_or_default();
    let (summary, description) = summary(&form.schema);
    let mut message = json!({
        "name": contract.subject.as_str(),
        "title": form.schema["title"],
        "summary": summary,
        "description": description,
        "contentType": "application/json",
        "payload": {
            "schemaFormat": SCHEMA_FORMAT,
            "schema": { "$ref": payload },
        },
    });
    let examples = schema["examples"].as_array().into_iter().flatten();
    let examples: Vec<_> = examples
        .map(|example| {
            let headers = example_headers(contract.subject, &headers, example);
            json!({ "headers": headers, "payload": example })
        })
        .collect();
    if !examples.is_empty() {
        message["examples"] = examples.into();
    }
    message["headers"] = headers;
    message
}

/// The first line of the description, and the rest.
fn summary(schema: &Value) -> (&str, &str) {
    let description = schema["description"].as_str().unwrap_or_default();
    let (summary, rest) = description.split_once("\n\n").unwrap_or((description, ""));
    (summary, rest)
}

/// A value for every header that a publisher of the event always writes.
pub(crate) fn example_headers<S: SubjectSet>(
    subject: S,
    schema: &Value,
    event: &Value,
) -> Map<String, Value> {
    let required = schema["required"].as_array().into_iter().flatten();
    let example = |name: &str| {
        let property = &schema["properties"][name];
        let value = property.get("const").unwrap_or(&property["examples"][0]);
        (name.to_owned(), value.clone())
    };
    let mut headers: Map<_, _> = required.filter_map(Value::as_str).map(example).collect();
    let mut reader = KeyReader { event, key: None };
    subject.visit(&mut reader);
    if let Some(key) = reader.key {
        headers.insert("ce-subject".to_owned(), key.as_str().into());
    }
    headers
}

/// Reads the key of an event whose type only its subject knows.
struct KeyReader<'e> {
    event: &'e Value,
    key: Option<Key>,
}

impl EventVisitor for KeyReader<'_> {
    fn visit<E: Event>(&mut self) {
        let event = E::deserialize(self.event);
        self.key = event.ok().map(|event| event.key());
    }
}

fn channel<S: SubjectSet>(contract: &Contract<S>, topology: &Topology) -> Value {
    let messages: Map<_, _> = contract
        .forms
        .iter()
        .map(|form| {
            let name = message_name(contract, form);
            let reference = json!({ "$ref": format!("#/components/messages/{name}") });
            (name, reference)
        })
        .collect();
    let newest = contract.forms.last().map(|form| summary(&form.schema).0);
    json!({
        "address": format!("{}.{KEY}", contract.subject.as_str()),
        "title": contract.subject.as_str(),
        "summary": newest,
        "parameters": {
            "key": {
                "description": "The id of what the event is about: 1 to 64 characters of A-Z, a-z, 0-9, _ and -. Subscribe with `*` for the events of every key.",
                "location": "$message.header#/ce-subject",
            },
        },
        "messages": messages,
        "x-nats-jetstream": jetstream::stream(contract, topology),
    })
}

/// What is done on the channel: the producer sends the newest form, and each group receives them all.
fn all_operations<S: SubjectSet>(
    contract: &Contract<S>,
    topology: &Topology,
) -> Vec<(String, Value)> {
    let channel = &contract.file_stem;
    let reference = |form: &Form| {
        let name = message_name(contract, form);
        json!({ "$ref": format!("#/channels/{channel}/messages/{name}") })
    };
    let operation = |action: &str, service: &str, messages: Vec<Value>| {
        json!({
            "action": action,
            "channel": { "$ref": format!("#/channels/{channel}") },
            "title": format!("{service} {action}s {}", contract.subject.as_str()),
            "tags": [{ "name": service }],
            "messages": messages,
        })
    };
    let producer = contract.producer.as_str();
    let newest = contract.forms.last().map(reference).into_iter().collect();
    let mut operations = vec![(
        format!("{producer}.send.{channel}"),
        operation("send", producer, newest),
    )];
    for group in contract.consumers {
        let forms = contract.forms.iter().map(reference).collect();
        let mut receive = operation("receive", group.as_str(), forms);
        receive["bindings"] = json!({
            "nats": { "queue": group.as_str(), "bindingVersion": NATS_BINDING },
        });
        receive["x-nats-jetstream"] =
            jetstream::consumer(contract, *group, topology, &RetryPolicy::default());
        operations.push((format!("{group}.receive.{channel}"), receive));
    }
    operations
}
