//! JSON Schema as this crate writes and walks it.

use serde_json::{Map, Value};

/// Keywords that hold schemas by a name of the author's.
const NAMED: [&str; 5] = [
    "$defs",
    "definitions",
    "dependentSchemas",
    "patternProperties",
    "properties",
];
/// Keywords that hold a list of schemas.
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords that hold one schema.
const SINGLE: [&str; 10] = [
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords that say something to people and nothing to a validator.
const COMMENTS: [&str; 4] = ["$comment", "description", "examples", "title"];

/// The document as text: keys in the order of the alphabet, whatever the map they come from, so
/// that the same types always give the same bytes.
pub(crate) fn to_text(value: &Value) -> String {
    format!("{:#}\n", sorted(value))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            let entries = entries.into_iter();
            Value::Object(
                entries
                    .map(|(key, value)| (key.clone(), sorted(value)))
                    .collect(),
            )
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// Calls `visitor` with the schema and every schema in it, each with its path as a JSON pointer.
pub(crate) fn walk<'s>(schema: &'s Value, visitor: &mut impl FnMut(&str, &'s Map<String, Value>)) {
    walk_at(&mut String::new(), schema, visitor);
}

fn walk_at<'s>(
    path: &mut String,
    schema: &'s Value,
    visitor: &mut impl FnMut(&str, &'s Map<String, Value>),
) {
    let Value::Object(keywords) = schema else {
        return;
    };
    visitor(path, keywords);
    for (keyword, value) in keywords {
        let length = path.len();
        let mut step = |name: &str, schema| {
            path.push('/');
            path.push_str(name);
            walk_at(path, schema, visitor);
            path.truncate(length);
        };
        match (keyword.as_str(), value) {
            (name, Value::Object(schemas)) if NAMED.contains(&name) => {
                for (key, schema) in schemas {
                    step(&format!("{name}/{key}"), schema);
                }
            }
            (name, Value::Array(schemas)) if LISTS.contains(&name) => {
                for (at, schema) in schemas.iter().enumerate() {
                    step(&format!("{name}/{at}"), schema);
                }
            }
            (name, schema) if SINGLE.contains(&name) => step(name, schema),
            _ => (),
        }
    }
}

/// Changes the schema and every schema in it, the inner ones first.
pub(crate) fn rewrite(schema: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(keywords) = schema else {
        return;
    };
    for (keyword, value) in keywords.iter_mut() {
        match value {
            Value::Object(schemas) if NAMED.contains(&keyword.as_str()) => {
                for schema in schemas.values_mut() {
                    rewrite(schema, change);
                }
            }
            Value::Array(schemas) if LISTS.contains(&keyword.as_str()) => {
                for schema in schemas {
                    rewrite(schema, change);
                }
            }
            schema if SINGLE.contains(&keyword.as_str()) => rewrite(schema, change),
            _ => (),
        }
    }
    change(keywords);
}

/// The schema without what only people read. A property called `title` stays.
pub(crate) fn without_comments(schema: &Value) -> Value {
    let Value::Object(keywords) = schema else {
        return schema.clone();
    };
    let meant = keywords
        .iter()
        .filter(|(keyword, _)| !COMMENTS.contains(&keyword.as_str()))
        .map(|(keyword, value)| (keyword.clone(), meaning_of(keyword, value)));
    Value::Object(meant.collect())
}

fn meaning_of(keyword: &str, value: &Value) -> Value {
    match value {
        Value::Object(schemas) if NAMED.contains(&keyword) => {
            let schemas = schemas.iter();
            let schemas = schemas.map(|(name, schema)| (name.clone(), without_comments(schema)));
            Value::Object(schemas.collect())
        }
        Value::Array(schemas) if LISTS.contains(&keyword) => {
            schemas.iter().map(without_comments).collect()
        }
        schema if SINGLE.contains(&keyword) => without_comments(schema),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn property_that_is_called_as_a_comment_is_none() {
        let schema = json!({
            "title": "Ticket",
            "properties": {"title": {"type": "string", "description": "What it is called."}},
            "oneOf": [{"const": "a", "description": "First."}],
        });
        let meant = json!({
            "properties": {"title": {"type": "string"}},
            "oneOf": [{"const": "a"}],
        });
        assert_eq!(without_comments(&schema), meant);
    }

    #[test]
    fn every_schema_in_a_schema_is_walked() {
        let schema = json!({
            "properties": {"a": {"items": {"anyOf": [true, {"not": {}}]}}},
            "$defs": {"D": {}},
            "enum": [{"not": {}}],
        });
        let mut paths = Vec::new();
        walk(&schema, &mut |path, _| paths.push(path.to_owned()));
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "",
                "/$defs/D",
                "/properties/a",
                "/properties/a/items",
                "/properties/a/items/anyOf/1",
                "/properties/a/items/anyOf/1/not",
            ]
        );
    }

    #[test]
    fn text_is_sorted_and_ends_with_a_line_break() {
        let text = to_text(&json!({"b": {"d": 1, "c": 2}, "a": []}));
        assert_eq!(
            text,
            "{\n  \"a\": [],\n  \"b\": {\n    \"c\": 2,\n    \"d\": 1\n  }\n}\n"
        );
    }
}
