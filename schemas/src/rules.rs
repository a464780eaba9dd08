use std::fmt;

use serde_json::{Map, Value};

use crate::{compat, json};

/// A rule that an event type breaks, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRule {
    /// The schema file.
    pub file: String,
    /// The place in the schema, as a JSON pointer: `/properties/price`.
    pub path: String,
    /// The rule.
    pub rule: Rule,
}

impl fmt::Display for BrokenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, path, rule } = self;
        write!(f, "{file}: {path}: {rule}")
    }
}

/// What no event may have, because not every reader gets it as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A number that may have a fraction.
    NoFloat,
    /// A list whose items have a meaning by their place.
    NoTuple,
    /// An event that nobody describes.
    Documented,
    /// A form that shows no example.
    Example,
    /// An example that is none.
    ValidExample,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoFloat => {
                "a float is not the same number in every language; use an integer of minor units"
            }
            Self::NoTuple => {
                "a tuple's items have no names, and none can be added or left out; use a struct"
            }
            Self::Documented => {
                "the event has no doc comment, and its readers have nothing else; say what happened and who publishes it"
            }
            Self::Example => {
                "the form has no example; the present one's is in `common::testing::sample`, a past one's is `#[schemars(example = …)]` on its type"
            }
            Self::ValidExample => "the example is not valid by the schema",
        })
    }
}

/// Every rule that the schema of an event breaks.
pub(crate) fn check(file: &str, schema: &Value) -> Vec<BrokenRule> {
    let mut broken = Vec::new();
    let mut report = |path: &str, rule| {
        broken.push(BrokenRule {
            file: file.to_owned(),
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            rule,
        });
    };
    if !schema["description"].is_string() {
        report("", Rule::Documented);
    }
    json::walk(schema, &mut |path, keywords| {
        if is_float(keywords) {
            report(path, Rule::NoFloat);
        }
        if keywords.contains_key("prefixItems") {
            report(path, Rule::NoTuple);
        }
    });
    broken
}

/// Whether the document has examples, and each is one.
pub(crate) fn check_examples(file: &str, document: &Value) -> Vec<BrokenRule> {
    let broken = |path: String, rule| BrokenRule {
        file: file.to_owned(),
        path,
        rule,
    };
    let examples = document["examples"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if examples.is_empty() {
        return vec![broken("/".to_owned(), Rule::Example)];
    }
    let validator = compat::validator(document);
    let valid = |example| {
        validator
            .as_ref()
            .is_ok_and(|validator| validator.is_valid(example))
    };
    let wrong = examples
        .iter()
        .enumerate()
        .filter(|(_, example)| !valid(example));
    wrong
        .map(|(at, _)| broken(format!("/examples/{at}"), Rule::ValidExample))
        .collect()
}

fn is_float(keywords: &Map<String, Value>) -> bool {
    match keywords.get("type") {
        Some(Value::String(name)) => name == "number",
        Some(Value::Array(names)) => names.iter().any(|name| name == "number"),
        _ => false,
    }
}
