//! What a reader makes of a schema, said in a schema.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::shape::integer_of;
use crate::json;

/// Marks an enum whose type has a catch-all (`#[serde(other)]`), which schemars does not show:
/// `#[schemars(extend("x-open" = true))]` on the type.
pub const OPEN: &str = "x-open";

/// What the formats of numbers allow, where it is less than every number.
const RANGES: [(&str, Option<i64>, Option<u64>); 12] = [
    ("int", Some(i64::MIN), Some(i64::MAX as u64)),
    ("int8", Some(i8::MIN as i64), Some(i8::MAX as u64)),
    ("int16", Some(i16::MIN as i64), Some(i16::MAX as u64)),
    ("int32", Some(i32::MIN as i64), Some(i32::MAX as u64)),
    ("int64", Some(i64::MIN), Some(i64::MAX as u64)),
    ("int128", None, None),
    ("uint", Some(0), Some(u64::MAX)),
    ("uint8", Some(0), Some(u8::MAX as u64)),
    ("uint16", Some(0), Some(u16::MAX as u64)),
    ("uint32", Some(0), Some(u32::MAX as u64)),
    ("uint64", Some(0), Some(u64::MAX)),
    ("uint128", Some(0), None),
];

/// How a reader takes what its schema does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reader {
    /// As a type with serde does: fields that it does not know are ignored, fields with a default and
    /// those that may be null may be missing, a set takes an item twice, of several branches the first
    /// that fits is taken.
    #[default]
    Serde,
    /// As a validator does that refuses every field that the schema does not name.
    Strict,
}

impl Reader {
    /// What this reader reads where the schema says what is written.
    ///
    /// The schema of a published event lists as required what is always written. A type reads
    /// more: what has a default or may be null may be missing.
    pub(super) fn of_written(self, schema: &Value) -> Value {
        let mut schema = schema.clone();
        if self == Self::Serde {
            json::rewrite(&mut schema, &mut may_be_missing);
        }
        schema
    }

    /// The schema of what is read, with all that this reader does said in keywords that are judged.
    pub(super) fn explicit(self, reads: &Value) -> Value {
        let mut schema = written(reads);
        json::rewrite(&mut schema, &mut open);
        if self == Self::Serde {
            json::rewrite(&mut schema, &mut |keywords| {
                keywords.remove("uniqueItems");
                if !keywords.contains_key("anyOf")
                    && let Some(branches) = keywords.remove("oneOf")
                {
                    keywords.insert("anyOf".to_owned(), branches);
                }
            });
        }
        schema
    }

    /// What decides by the explicit schema whether a value is read.
    pub(super) fn validator(self, explicit: &Value) -> Result<jsonschema::Validator, String> {
        let mut schema = explicit.clone();
        if self == Self::Strict {
            refuse_unknown(&mut schema);
            json::rewrite(&mut schema, &mut |keywords| {
                for keyword in ["properties", "patternProperties"] {
                    if let Some(Value::Object(fields)) = keywords.get_mut(keyword) {
                        fields.values_mut().for_each(refuse_unknown);
                    }
                }
                for keyword in ["items", "additionalProperties"] {
                    keywords
                        .get_mut(keyword)
                        .into_iter()
                        .for_each(refuse_unknown);
                }
            });
        }
        validator(&schema).map_err(|err| err.to_string())
    }
}

/// The schema of what is written, with the formats of numbers said as ranges.
pub(super) fn written(schema: &Value) -> Value {
    let mut schema = schema.clone();
    json::rewrite(&mut schema, &mut range);
    schema
}

/// A validator that asserts formats.
pub(crate) fn validator(
    schema: &Value,
) -> Result<jsonschema::Validator, jsonschema::ValidationError<'static>> {
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(schema)
}

fn refuse_unknown(schema: &mut Value) {
    if let Value::Object(keywords) = schema {
        keywords.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
    }
}

fn may_be_missing(keywords: &mut Map<String, Value>) {
    let Some(Value::Object(fields)) = keywords.get_mut("properties") else {
        return;
    };
    // What is written and never read: `skip_deserializing`.
    fields.retain(|_, field| field["readOnly"] != true);
    let filled: BTreeSet<String> = fields
        .iter()
        .filter(|(_, field)| !field["default"].is_null() || may_be_null(field))
        .map(|(name, _)| name.clone())
        .collect();
    let known: BTreeSet<String> = fields.keys().cloned().collect();
    if let Some(Value::Array(required)) = keywords.get_mut("required") {
        required.retain(|name| {
            name.as_str()
                .is_none_or(|name| known.contains(name) && !filled.contains(name))
        });
    }
}

fn may_be_null(field: &Value) -> bool {
    let is_null = |name: &Value| name == "null";
    let names_null = match &field["type"] {
        Value::Array(names) => names.iter().any(is_null),
        name => is_null(name),
    };
    let branches = ["anyOf", "oneOf"]
        .into_iter()
        .filter_map(|keyword| field[keyword].as_array());
    names_null && field["type"].is_array()
        || branches.flatten().any(|branch| branch["type"] == "null")
}

fn range(keywords: &mut Map<String, Value>) {
    let format = keywords.get("format").and_then(Value::as_str);
    let Some((_, least, most)) = RANGES.iter().find(|(name, ..)| Some(*name) == format) else {
        return;
    };
    keywords.remove("format");
    if let Some(least) = least
        && keywords
            .get("minimum")
            .and_then(integer_of)
            .is_none_or(|minimum| minimum < i128::from(*least))
    {
        keywords.insert("minimum".to_owned(), json!(least));
    }
    if let Some(most) = most
        && keywords
            .get("maximum")
            .and_then(integer_of)
            .is_none_or(|maximum| maximum > i128::from(*most))
    {
        keywords.insert("maximum".to_owned(), json!(most));
    }
}

/// Says what an open enum takes besides its own words.
fn open(keywords: &mut Map<String, Value>) {
    if keywords.get(OPEN) != Some(&Value::Bool(true)) {
        return;
    }
    let catch_all = match tag(keywords) {
        Some((tag, known)) => json!({
            "type": "object",
            "properties": {&tag: {"type": "string", "not": {"enum": known}}},
            "required": [tag],
        }),
        None => json!({"type": "string"}),
    };
    let mut closed = std::mem::take(keywords);
    closed.remove(OPEN);
    // References count from `$id`, and lead to the definitions.
    for kept in ["$schema", "$id", "$defs", "definitions"] {
        keywords.extend(closed.remove(kept).map(|value| (kept.to_owned(), value)));
    }
    keywords.insert("anyOf".to_owned(), json!([closed, catch_all]));
}

/// The field that tells the branches apart, and what it holds in each.
fn tag(keywords: &Map<String, Value>) -> Option<(String, Vec<Value>)> {
    let branches = keywords
        .get("oneOf")
        .or(keywords.get("anyOf"))?
        .as_array()?;
    let fields = branches.first()?.get("properties")?.as_object()?;
    fields.keys().find_map(|name| {
        let known = branches
            .iter()
            .map(|branch| branch["properties"][name].get("const").cloned());
        Some((name.clone(), known.collect::<Option<Vec<_>>>()?))
    })
}
