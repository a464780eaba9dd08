//! The fields of an event, as its schema has them.

use std::fmt::Write as _;

use serde_json::Value;

use super::html::{escape, inline};

/// How deep a schema is followed. One that holds itself would have no end.
const DEEPEST: usize = 6;
/// A longer pattern is folded away: it tells a reader little, and a validator has it from the file.
const LONGEST_PATTERN: usize = 40;

/// One field, or one of an object or list in it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Field {
    /// `ticket.price`, `seats[].row`.
    path: String,
    required: bool,
    /// `integer, 1 to 200`.
    kind: String,
    /// What a text must match, where no format says it.
    pattern: Option<String>,
    description: String,
    /// What the field may be, if that is a list, each with what it means.
    values: Vec<(String, String)>,
}

/// The fields of a schema as a table.
pub(super) fn table(schema: &Value) -> String {
    let mut fields = Vec::new();
    add(&mut fields, schema, schema, "", 0);
    let rows: String = fields.iter().map(row).collect();
    format!(
        "<table>\n<thead><tr><th>Field</th><th>Type</th><th>Meaning</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n"
    )
}

fn row(field: &Field) -> String {
    let mut html = format!(
        "<tr><td><code>{}</code>{}</td><td>{}{}</td><td>{}",
        escape(&field.path),
        if field.required {
            ""
        } else {
            " <span class=\"optional\">optional</span>"
        },
        escape(&field.kind),
        field.pattern.as_deref().map(pattern).unwrap_or_default(),
        inline(&field.description),
    );
    if !field.values.is_empty() {
        html.push_str("<ul>");
        for (value, meaning) in &field.values {
            let _ = write!(
                html,
                "<li><code>{}</code> {}</li>",
                escape(value),
                inline(meaning)
            );
        }
        html.push_str("</ul>");
    }
    html.push_str("</td></tr>\n");
    html
}

fn pattern(pattern: &str) -> String {
    let code = format!("<code>{}</code>", escape(pattern));
    if pattern.len() > LONGEST_PATTERN {
        format!("<details><summary>matching a pattern</summary>{code}</details>")
    } else {
        format!(", matching {code}")
    }
}

/// Adds the fields of an object.
fn add(fields: &mut Vec<Field>, root: &Value, object: &Value, prefix: &str, depth: usize) {
    let properties = object["properties"].as_object();
    for (name, property) in ordered(object, properties) {
        let path = format!("{prefix}{name}");
        let schema = resolved(root, property);
        let description = property.get("description").or(schema.get("description"));
        fields.push(Field {
            required: is_required(object, name),
            kind: kind(root, schema, 0),
            pattern: own_pattern(root, schema),
            description: description
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            values: values(schema),
            path: path.clone(),
        });
        if depth < DEEPEST {
            let (inner, prefix) = match schema.get("items") {
                Some(items) => (resolved(root, items), format!("{path}[].")),
                None => (schema, format!("{path}.")),
            };
            add(fields, root, inner, &prefix, depth + 1);
        }
    }
}

/// The properties as the Rust type has them, as far as `required` tells, then the others.
fn ordered<'s>(
    object: &'s Value,
    properties: Option<&'s serde_json::Map<String, Value>>,
) -> Vec<(&'s String, &'s Value)> {
    let mut ordered: Vec<_> = properties.into_iter().flatten().collect();
    let required = object["required"].as_array();
    ordered.sort_by_key(|(name, _)| {
        let mut required = required.into_iter().flatten();
        required
            .position(|field| field == *name)
            .unwrap_or(usize::MAX)
    });
    ordered
}

fn is_required(object: &Value, name: &str) -> bool {
    let required = object["required"].as_array().into_iter().flatten();
    required.into_iter().any(|field| field == name)
}

/// The schema that a reference within the document means.
fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let target = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#'));
    target
        .and_then(|pointer| root.pointer(pointer))
        .unwrap_or(schema)
}

/// What a text must match. What a format says need not be said twice.
fn own_pattern(root: &Value, schema: &Value) -> Option<String> {
    let text = match schema.get("items") {
        Some(items) => resolved(root, items),
        None => schema,
    };
    let pattern = text["pattern"].as_str()?;
    text.get("format").is_none().then(|| pattern.to_owned())
}

fn kind(root: &Value, schema: &Value, depth: usize) -> String {
    if !values(schema).is_empty() {
        return "one of".to_owned();
    }
    let inner = |schema| match depth {
        0..DEEPEST => kind(root, resolved(root, schema), depth + 1),
        _ => "…".to_owned(),
    };
    let branches = ["anyOf", "oneOf"]
        .iter()
        .find_map(|&keyword| schema[keyword].as_array());
    let mut kind = match &schema["type"] {
        Value::String(name) if name == "array" => {
            format!("list of {}", inner(&schema["items"]))
        }
        Value::String(name) if name == "object" && schema["additionalProperties"].is_object() => {
            format!("map of {}", inner(&schema["additionalProperties"]))
        }
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
            names.join(" or ")
        }
        _ => match branches {
            Some(branches) => {
                let branches: Vec<_> = branches.iter().map(inner).collect();
                branches.join(" or ")
            }
            None => "any".to_owned(),
        },
    };
    if let Some(format) = schema["format"].as_str() {
        let _ = write!(kind, ", {format}");
    }
    for (least, most, of) in [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ] {
        match (bound(&schema[least]), bound(&schema[most])) {
            (Some(least), Some(most)) => drop(write!(kind, ", {least} to {most}{of}")),
            (Some(least), None) => drop(write!(kind, ", {least} or more{of}")),
            (None, Some(most)) => drop(write!(kind, ", at most {most}{of}")),
            (None, None) => (),
        }
    }
    kind
}

/// A bound of a range. The largest integer that every language reads as it was written has a name.
fn bound(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        value if value.as_u64() == Some((1 << 53) - 1) => Some("2^53 - 1".to_owned()),
        value => Some(value.to_string()),
    }
}

/// What a closed list of values has, each with its description.
fn values(schema: &Value) -> Vec<(String, String)> {
    let plain = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .map(|value| (plain(value), String::new()))
            .collect();
    }
    let choices = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    let of_choice = |choice: &Value| {
        let meaning = choice["description"].as_str().unwrap_or_default();
        Some((plain(choice.get("const")?), meaning.to_owned()))
    };
    choices
        .and_then(|choices| choices.iter().map(of_choice).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_objects_and_lists_are_found_with_their_bounds() {
        let schema = json!({
            "required": ["seats", "status"],
            "properties": {
                "note": {"type": ["string", "null"], "maxLength": 9},
                "owner": {"anyOf": [{"$ref": "#/$defs/Owner"}, {"type": "null"}]},
                "prices": {"type": "object", "additionalProperties": {"type": "integer"}},
                "seats": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Seat"}},
                "status": {"$ref": "#/$defs/Status", "description": "How it is."},
            },
            "$defs": {
                "Owner": {"type": "string", "pattern": "^[a-z]$"},
                "Seat": {"type": "object", "properties": {"row": {"type": "integer", "minimum": 1, "maximum": 9_007_199_254_740_991_u64}}},
                "Status": {"description": "All.", "oneOf": [{"const": "on", "description": "It is on."}]},
            },
        });
        let mut fields = Vec::new();
        add(&mut fields, &schema, &schema, "", 0);
        let found: Vec<_> = fields
            .iter()
            .map(|field| (&*field.path, field.required, &*field.kind))
            .collect();
        assert_eq!(
            found,
            [
                ("seats", true, "list of object, 1 or more items"),
                ("seats[].row", false, "integer, 1 to 2^53 - 1"),
                ("status", true, "one of"),
                ("note", false, "string or null, at most 9 characters"),
                ("owner", false, "string or null"),
                ("prices", false, "map of integer"),
            ]
        );
        assert_eq!(fields[2].description, "How it is.");
        assert_eq!(
            fields[2].values,
            [("on".to_owned(), "It is on.".to_owned())]
        );
    }

    #[test]
    fn schema_that_holds_itself_ends() {
        let schema = json!({"properties": {"next": {"$ref": "#"}}});
        let mut fields = Vec::new();
        add(&mut fields, &schema, &schema, "", 0);
        assert_eq!(fields.len(), DEEPEST + 1);

        let list = json!({"type": "array", "items": {"$ref": "#"}});
        assert!(kind(&list, &list, 0).ends_with("list of …"));
    }

    #[test]
    fn long_pattern_is_folded_away() {
        assert_eq!(pattern("^<$"), ", matching <code>^&lt;$</code>");
        let long = "a".repeat(LONGEST_PATTERN + 1);
        assert!(pattern(&long).starts_with("<details><summary>"));
    }
}
