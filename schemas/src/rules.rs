use std::fmt;

use serde_json::{Map, Value};

use crate::json;

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

fn is_float(keywords: &Map<String, Value>) -> bool {
    match keywords.get("type") {
        Some(Value::String(name)) => name == "number",
        Some(Value::Array(names)) => names.iter().any(|name| name == "number"),
        _ => false,
    }
}
