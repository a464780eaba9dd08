//! A schema as somebody wrote it, made one that can be judged.

use std::collections::HashSet;

use jsonschema::{ValidationError, draft6, draft7, draft201909, draft202012};
use serde_json::{Map, Value};

use super::reader;
use super::shape::{self, resolve};
use crate::json;

/// References deeper than this lead back to themselves without a field between.
pub(super) const DEEPEST: usize = 64;
/// Keywords whose schemas are about the same value.
const OF_THE_SAME_VALUE: [&str; 7] = ["allOf", "anyOf", "else", "if", "not", "oneOf", "then"];

/// Why something is no schema that can be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// Its draft is not one of those that are read.
    #[error("its `$schema` is {0:?}; drafts 2020-12, 2019-09, 07 and 06 are read")]
    Draft(String),
    /// The draft does not allow it.
    #[error("at {at}: {why}{}", hint(*.guessed))]
    Invalid {
        /// The place, as a JSON pointer.
        at: String,
        /// What is the matter there.
        why: String,
        /// Whether it says nothing of its draft.
        guessed: bool,
    },
    /// It is an object without any keyword that says which values are valid.
    #[error("it says nothing: none of its keywords is one of JSON Schema")]
    SaysNothing,
    /// A reference leads out of the file, or to nothing in it.
    #[error(
        "at {at}: `$ref` {reference:?} leads to no schema in this file; copy the schema under `$defs`, and refer to `#/$defs/…`"
    )]
    Reference {
        /// The place, as a JSON pointer.
        at: String,
        /// The reference.
        reference: String,
    },
    /// References lead back to where they began, with no field or item between.
    #[error(
        "at {at}: `$ref` leads back to itself, or over more than {DEEPEST} others, with no field or item between, so that it says nothing"
    )]
    Circle {
        /// The place, as a JSON pointer.
        at: String,
    },
    /// A schema in the schema has an address of its own, which references in it count from.
    #[error(
        "at {at}: `$id` inside of a schema: references are followed from the root only, so take it out"
    )]
    InnerId {
        /// The place, as a JSON pointer.
        at: String,
    },
}

fn hint(guessed: bool) -> &'static str {
    if guessed {
        " (without `$schema`, it is read as draft 2020-12)"
    } else {
        ""
    }
}

/// Whether it looks like a schema, so that a file which does not can be passed over.
pub(super) fn is_schema(value: &Value) -> bool {
    let says = |keywords: &Map<String, Value>| keywords.keys().any(|name| shape::is_schema(name));
    value.is_boolean() || value.as_object().is_some_and(says)
}

/// The schema in draft 2020-12, with references that lead somewhere.
pub(super) fn readable(schema: Value) -> Result<Value, SchemaError> {
    let named = schema.get("$schema").and_then(Value::as_str);
    let guessed = named.is_none();
    let name = named.map(|name| name.trim_end_matches('#').to_owned());
    let (valid, old) = match name.as_deref() {
        None | Some("https://json-schema.org/draft/2020-12/schema") => {
            (draft202012::meta::validate(&schema), false)
        }
        Some("https://json-schema.org/draft/2019-09/schema") => {
            (draft201909::meta::validate(&schema), false)
        }
        Some("http://json-schema.org/draft-07/schema") => (draft7::meta::validate(&schema), true),
        Some("http://json-schema.org/draft-06/schema") => (draft6::meta::validate(&schema), true),
        Some(other) => return Err(SchemaError::Draft(other.to_owned())),
    };
    let invalid = |err: ValidationError<'_>| SchemaError::Invalid {
        at: place(&err.instance_path().to_string()),
        why: err.to_string(),
        guessed,
    };
    valid.map_err(invalid)?;
    if !is_schema(&schema) {
        return Err(SchemaError::SaysNothing);
    }
    let mut schema = schema;
    json::rewrite(&mut schema, &mut |keywords| modernize(keywords, old));
    check_references(&schema)?;
    // Patterns are looked at here, and not by the schema of schemas.
    reader::validator(&schema).map_err(invalid)?;
    Ok(schema)
}

/// Says in draft 2020-12 what an earlier one says.
fn modernize(keywords: &mut Map<String, Value>, old: bool) {
    keywords.remove("$schema");
    // Before 2019-09, a reference stood for itself: what is beside it was not looked at.
    if old && keywords.contains_key("$ref") {
        keywords.retain(|name, _| ["$ref", "$defs", "definitions"].contains(&name.as_str()));
    }
    if let Some(items @ Value::Array(_)) = keywords.get_mut("items") {
        let items = items.take();
        keywords.remove("items");
        keywords.insert("prefixItems".to_owned(), items);
    }
}

fn place(pointer: &str) -> String {
    if pointer.is_empty() { "/" } else { pointer }.to_owned()
}

fn check_references(root: &Value) -> Result<(), SchemaError> {
    let mut wrong = None;
    let mut done = HashSet::new();
    json::walk(root, &mut |path, keywords| {
        if wrong.is_some() {
            return;
        }
        let at = || place(path);
        if !path.is_empty() && keywords.contains_key("$id") {
            wrong = Some(SchemaError::InnerId { at: at() });
        } else if let Some(reference) = keywords.get("$ref")
            && !resolve(root, reference).is_some_and(|it| it.is_object() || it.is_boolean())
        {
            let reference = reference.as_str().unwrap_or_default().to_owned();
            wrong = Some(SchemaError::Reference {
                at: at(),
                reference,
            });
        } else if !ends(root, keywords, &mut done, 0) {
            wrong = Some(SchemaError::Circle { at: at() });
        }
    });
    wrong.map_or(Ok(()), Err)
}

/// Whether the schemas that are about the same value end somewhere.
fn ends(
    root: &Value,
    keywords: &Map<String, Value>,
    done: &mut HashSet<usize>,
    depth: usize,
) -> bool {
    let identity = std::ptr::from_ref(keywords).addr();
    if done.contains(&identity) {
        return true;
    }
    let referred = keywords.get("$ref").and_then(|it| resolve(root, it));
    let inner = OF_THE_SAME_VALUE
        .iter()
        .filter_map(|&keyword| keywords.get(keyword))
        .flat_map(|inner| match inner {
            Value::Array(schemas) => schemas.as_slice(),
            one => std::slice::from_ref(one),
        });
    let dependent = keywords.get("dependentSchemas").and_then(Value::as_object);
    let mut inner = referred
        .into_iter()
        .chain(inner)
        .chain(dependent.into_iter().flat_map(Map::values))
        .filter_map(Value::as_object);
    let ends = depth <= DEEPEST && inner.all(|inner| ends(root, inner, done, depth + 1));
    if ends {
        done.insert(identity);
    }
    ends
}
