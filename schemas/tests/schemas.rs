//! The generated schemas: that they hold what they show, and that a difference is found and told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use common::testing::sample;
use common::{
    Event, Key, ORDERS, ORDERS_SERVICE, SubjectSet as _, Subjects, TICKETS_SERVICE, schemars,
    subjects,
};
use schemas::{
    Difference, Documents, GenerateError, Rule, TYPESCRIPT, asyncapi, compare, documents, write,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

fn present() -> Documents {
    documents(|subject: Subjects| Some(sample::example(subject))).unwrap()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap()
}

#[test]
fn committed_schemas_are_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    let mut documents = present();
    documents.extend(asyncapi::<Subjects>(&documents));
    let mut differences = compare(&documents, &folder).unwrap();
    // It takes Node to make it: `cargo xtask ci` checks it.
    differences.retain(|path, _| !path.starts_with(TYPESCRIPT));
    assert!(
        differences.is_empty(),
        "run `cargo run -p schemas -- generate`: {differences:#?}"
    );
}

#[test]
fn examples_are_valid_and_nothing_else_is() {
    for (path, text) in present() {
        let schema = parsed(&text);
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        let validator = validator(&schema);
        let example = &schema["examples"][0];

        validator
            .validate(example)
            .unwrap_or_else(|err| panic!("{path}: {err}"));

        for field in schema["required"].as_array().unwrap() {
            let mut lacking = example.clone();
            lacking
                .as_object_mut()
                .unwrap()
                .remove(field.as_str().unwrap());
            assert!(
                !validator.is_valid(&lacking),
                "{path} does not require {field}"
            );
        }
        for field in schema["properties"].as_object().unwrap().keys() {
            let mut wrong = example.clone();
            wrong[field] = json!(-1);
            assert!(!validator.is_valid(&wrong), "{path}: {field} may be -1");
        }
    }
}

#[test]
fn formats_are_asserted() {
    let documents = present();
    let schema = parsed(&documents["json/order.created.v1.json"]);
    let mut order = schema["examples"][0].clone();
    order["expiresAt"] = json!("tomorrow");
    assert!(!validator(&schema).is_valid(&order));
}

#[test]
fn every_file_says_what_it_is_and_that_it_is_generated() {
    for (path, text) in present() {
        let schema = parsed(&text);
        let stem = path.strip_prefix("json/").unwrap();
        let event = stem.strip_suffix(".v1.json").unwrap();
        assert_eq!(schema["$id"], format!("urn:sgtickets:{event}:1"));
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        let comment = schema["$comment"].as_str().unwrap();
        assert!(
            comment.contains("cargo run -p schemas -- generate"),
            "{path}"
        );
        assert!(text.ends_with("}\n"), "{path}");
        let fields = schema["properties"].as_object().unwrap();
        for (field, schema) in fields {
            let documented = schema["description"].is_string();
            assert!(documented, "{path}: {field} has no description");
        }
    }
}

#[test]
fn absent_order_of_a_ticket_is_never_null() {
    let documents = present();
    let schema = parsed(&documents["json/ticket.updated.v1.json"]);
    let validator = validator(&schema);
    let mut ticket = schema["examples"][0].clone();
    ticket["orderId"] = Value::Null;
    assert!(!validator.is_valid(&ticket), "no publisher writes null");
    ticket.as_object_mut().unwrap().remove("orderId");
    assert!(validator.is_valid(&ticket));
}

/// Changes one committed file and returns how it differs.
#[track_caller]
fn differs(path: &str, change: impl FnOnce(String) -> String) -> Difference {
    let folder = tempfile::tempdir().unwrap();
    let documents = present();
    write(&documents, folder.path()).unwrap();
    let file = folder.path().join(path);
    fs::write(&file, change(fs::read_to_string(&file).unwrap_or_default())).unwrap();
    let mut differences = compare(&documents, folder.path()).unwrap();
    let difference = differences.remove(path).unwrap();
    assert!(differences.is_empty(), "{differences:?}");
    difference
}

#[test]
fn change_of_meaning_is_told_with_its_lines() {
    let difference = differs("json/ticket.created.v1.json", |text| {
        text.replace("\"price\": {", "\"cost\": {")
    });
    let Difference::Meaning { diff } = difference else {
        panic!("{difference:?}");
    };
    assert!(diff.contains("-    \"cost\": {"), "{diff}");
    assert!(diff.contains("+    \"price\": {"), "{diff}");
}

#[test]
fn change_of_comments_is_told_apart() {
    for (from, to) in [
        ("Face value in minor", "Price in minor"),
        ("\"title\": \"TicketCreated\"", "\"title\": \"Ticket\""),
        ("  \"$comment\"", "    \"$comment\""),
    ] {
        let difference = differs("json/ticket.created.v1.json", |text| text.replace(from, to));
        assert!(
            matches!(difference, Difference::Comments { .. }),
            "{difference:?}"
        );
    }
    // A property is none, whatever it is called.
    let difference = differs("json/ticket.created.v1.json", |text| {
        text.replace("    \"title\": {", "    \"heading\": {")
    });
    assert!(
        matches!(difference, Difference::Meaning { .. }),
        "{difference:?}"
    );
}

#[test]
fn file_that_is_no_json_is_told() {
    let difference = differs("json/ticket.created.v1.json", |text| {
        format!("<<<<<<< ours\n{text}")
    });
    assert!(
        matches!(difference, Difference::NotJson { .. }),
        "{difference:?}"
    );
}

#[test]
fn file_that_is_missing_or_of_no_event_is_told() {
    let extra = differs("json/ticket.created.v9.json", |_| "{}".to_owned());
    assert_eq!(extra, Difference::Extra);

    let nowhere = tempfile::tempdir().unwrap();
    let differences = compare(&present(), &nowhere.path().join("none")).unwrap();
    assert_eq!(differences.len(), Subjects::ALL.len());
    assert!(
        differences
            .values()
            .all(|difference| *difference == Difference::Missing)
    );
}

#[test]
fn what_is_written_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let documents = present();
    assert_eq!(
        write(&documents, folder.path()).unwrap().len(),
        documents.len()
    );
    assert_eq!(write(&documents, folder.path()).unwrap(), [""; 0]);
    assert!(compare(&documents, folder.path()).unwrap().is_empty());
}

subjects! {
    /// A list whose only event breaks every rule.
    enum Broken {
        /// Something was measured.
        Measured: "thing:measured", stream ORDERS, from ORDERS_SERVICE, to [TICKETS_SERVICE];
    }
}

#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct Measured {
    degrees: Option<f64>,
    place: Vec<(u32, u32)>,
}

impl Event for Measured {
    const SUBJECT: Broken = Broken::Measured;

    fn key(&self) -> Key {
        Key::new("k").unwrap()
    }
}

#[test]
fn float_tuple_and_undocumented_event_are_refused_with_the_reason() {
    let Err(GenerateError::Rules(broken)) = documents(|_: Broken| None) else {
        panic!("they were accepted");
    };
    let found: Vec<_> = broken
        .iter()
        .map(|broken| (&*broken.path, broken.rule))
        .collect();
    assert_eq!(
        found,
        [
            ("/", Rule::Documented),
            ("/properties/degrees", Rule::NoFloat),
            ("/properties/place/items", Rule::NoTuple),
            ("/", Rule::Example),
        ]
    );
    let message = GenerateError::Rules(broken).to_string();
    assert!(
        message.contains("use an integer of minor units"),
        "{message}"
    );
    assert!(message.contains("use a struct"), "{message}");
}

#[test]
fn form_without_a_valid_example_is_refused() {
    let rules = |example: Option<Value>| {
        let Err(GenerateError::Rules(broken)) = documents(|_: Subjects| example.clone()) else {
            panic!("they were accepted");
        };
        assert_eq!(broken.len(), Subjects::ALL.len());
        (broken[0].path.clone(), broken[0].rule)
    };
    assert_eq!(rules(None), ("/".to_owned(), Rule::Example));
    let empty = rules(Some(json!({})));
    assert_eq!(empty, ("/examples/0".to_owned(), Rule::ValidExample));
}

#[test]
fn list_shows_one_service_from_its_own_end() {
    let text = schemas::list_service::<Subjects>("payments-service").unwrap();
    let (published, read) = text.split_once("payments-service listens to").unwrap();
    assert!(published.contains("payment:created"), "{text}");
    assert!(!published.contains("order:created"), "{text}");
    assert!(read.contains("order:created"), "{text}");

    let unknown = schemas::list_service::<Subjects>("payments").unwrap_err();
    assert!(
        unknown.to_string().contains("payments-service"),
        "{unknown}"
    );

    assert_eq!(
        schemas::list_all::<Subjects>().lines().count(),
        1 + Subjects::ALL.len()
    );
}
