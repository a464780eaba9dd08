//! A schema as a union of shapes: the subset of JSON Schema that the generator of our schemas writes.

mod overlap;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use self::overlap::both;
use super::schema_file::DEEPEST;
use super::text::Text;

/// What says nothing about which values are valid.
const ANNOTATIONS: [&str; 13] = [
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
    // Of numbers it is made a range before, of texts it is read; elsewhere it says nothing.
    "format",
];
/// What the shapes below are made of.
const JUDGED: [&str; 23] = [
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "properties",
    "required",
    "type",
    "uniqueItems",
];
const TYPES: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];
/// What is not judged for a reason that its name does not say.
const BY_PLACE: &str = "prefixItems";
/// A value of one place in a schema is told by so many schemas at most.
const MOST_SCHEMAS: usize = 20_000;
/// Unions are compared shape by shape, so many pairs of them.
const MOST_PAIRS: usize = 200_000;

/// A part of a schema that cannot be judged, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unjudged(pub(super) String);

/// Values of one JSON type, within limits.
#[derive(Debug, Clone)]
pub(super) enum Shape<'s> {
    Null,
    /// Both, or this one.
    Boolean(Option<bool>),
    Integer {
        least: i128,
        most: i128,
    },
    Number {
        least: f64,
        most: f64,
    },
    Text(Text),
    List(List<'s>),
    Object(Object<'s>),
}

#[derive(Debug, Clone)]
pub(super) struct List<'s> {
    /// `None`: anything.
    pub(super) items: Option<Part<'s>>,
    pub(super) least: u64,
    pub(super) most: Option<u64>,
    pub(super) unique: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Object<'s> {
    pub(super) fields: BTreeMap<String, Part<'s>>,
    pub(super) required: BTreeSet<String>,
    /// Fields whose names match a pattern.
    pub(super) keys: Option<(String, Part<'s>)>,
    pub(super) rest: Rest<'s>,
}

/// What the fields that have no name in the schema may hold.
#[derive(Debug, Clone)]
pub(super) enum Rest<'s> {
    /// Nothing is said: a writer writes none, and a reader ignores them.
    Unsaid,
    /// There are none.
    Refused,
    /// Any field is written, and holds anything.
    Anything,
    /// Any field is written, and holds this.
    Of(Part<'s>),
}

/// A place in a schema: what all of these schemas allow.
#[derive(Debug, Clone)]
pub(super) struct Part<'s>(Vec<&'s Value>);

impl<'s> Part<'s> {
    pub(super) fn of(schema: &'s Value) -> Self {
        Self(vec![schema])
    }

    /// Tells places apart: the same place has the same identity.
    pub(super) fn identity(&self) -> Vec<usize> {
        let addresses = self.0.iter();
        addresses
            .map(|&schema| std::ptr::from_ref(schema).addr())
            .collect()
    }

    /// The one word that it may be.
    pub(super) fn word(&self) -> Option<&'s str> {
        self.0
            .iter()
            .find_map(|schema| schema.get("const")?.as_str())
    }

    /// Whether both say the same in the same words.
    pub(super) fn reads_as(&self, other: &Self) -> bool {
        let meant = |part: &Self| -> Vec<Value> {
            let schemas = part.0.iter();
            schemas
                .map(|schema| crate::json::without_comments(schema))
                .collect()
        };
        meant(self) == meant(other)
    }

    /// The shapes, of which each value has one.
    pub(super) fn shapes(&self, root: &'s Value) -> Result<Vec<Shape<'s>>, Unjudged> {
        let mut way = Way { root, schemas: 0 };
        let mut all = anything();
        for schema in &self.0 {
            all = both(&all, &way.shapes(schema, 0)?)?;
        }
        Ok(all)
    }
}

fn anything<'s>() -> Vec<Shape<'s>> {
    TYPES.iter().filter_map(|name| of_type(name)).collect()
}

fn of_type<'s>(name: &str) -> Option<Shape<'s>> {
    Some(match name {
        "null" => Shape::Null,
        "boolean" => Shape::Boolean(None),
        "integer" => Shape::Integer {
            least: i128::MIN,
            most: i128::MAX,
        },
        "number" => Shape::Number {
            least: f64::NEG_INFINITY,
            most: f64::INFINITY,
        },
        "string" => Shape::Text(Text::default()),
        "array" => Shape::List(List {
            items: None,
            least: 0,
            most: None,
            unique: false,
        }),
        "object" => Shape::Object(Object {
            fields: BTreeMap::new(),
            required: BTreeSet::new(),
            keys: None,
            rest: Rest::Anything,
        }),
        _ => return None,
    })
}

/// The way through the schemas that are about one value.
struct Way<'s> {
    root: &'s Value,
    /// How many there were: branches that refer to branches are soon too many.
    schemas: usize,
}

impl<'s> Way<'s> {
    fn shapes(&mut self, schema: &'s Value, depth: usize) -> Result<Vec<Shape<'s>>, Unjudged> {
        self.schemas += 1;
        if self.schemas > MOST_SCHEMAS {
            return Err(Unjudged(format!(
                "a value of more than {MOST_SCHEMAS} schemas"
            )));
        }
        let keywords = match schema {
            Value::Bool(true) => return Ok(anything()),
            Value::Bool(false) => return Ok(Vec::new()),
            Value::Object(keywords) => keywords,
            other => return Err(Unjudged(format!("{other} is no schema"))),
        };
        if depth > DEEPEST {
            return Err(Unjudged("`$ref` leads back to itself".to_owned()));
        }
        if keywords.contains_key(BY_PLACE) {
            return Err(Unjudged(
                "a list whose items differ by their place".to_owned(),
            ));
        }
        if let Some(unknown) = keywords.keys().find(|&keyword| !is_known(keyword)) {
            return Err(Unjudged(format!("the keyword `{unknown}`")));
        }
        let mut all = own_shapes(keywords)?;
        if let Some(reference) = keywords.get("$ref") {
            let target = resolve(self.root, reference).ok_or_else(|| {
                Unjudged(format!(
                    "the reference {reference}, which leads to nothing in the file"
                ))
            })?;
            all = both(&all, &self.shapes(target, depth + 1)?)?;
        }
        for schema in list(keywords, "allOf")? {
            all = both(&all, &self.shapes(schema, depth + 1)?)?;
        }
        for keyword in ["anyOf", "oneOf"] {
            if keywords.contains_key(keyword) {
                let mut branches = Vec::new();
                for schema in list(keywords, keyword)? {
                    branches.extend(self.shapes(schema, depth + 1)?);
                }
                all = both(&all, &branches)?;
            }
        }
        Ok(all)
    }
}

fn is_known(keyword: &str) -> bool {
    ANNOTATIONS.contains(&keyword) || JUDGED.contains(&keyword) || keyword.starts_with("x-")
}

/// Whether a keyword is one of schemas and of nothing else that stands in files.
pub(super) fn is_schema(keyword: &str) -> bool {
    const OTHERS: [&str; 4] = ["$schema", "$defs", "definitions", BY_PLACE];
    JUDGED.contains(&keyword) || OTHERS.contains(&keyword)
}

/// What a reference leads to: it is a JSON pointer into the same file.
pub(super) fn resolve<'s>(root: &'s Value, reference: &Value) -> Option<&'s Value> {
    let reference = reference.as_str()?;
    let own = root["$id"].as_str().unwrap_or_default();
    let pointer = reference.strip_prefix(own).unwrap_or(reference);
    root.pointer(&percent_decoded(pointer.strip_prefix('#')?)?)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

fn list<'s>(keywords: &'s Map<String, Value>, keyword: &str) -> Result<&'s [Value], Unjudged> {
    match keywords.get(keyword) {
        None => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(other) => Err(Unjudged(format!("`{keyword}`: {other}"))),
    }
}

/// What the keywords say without those that name further schemas of the same value.
fn own_shapes(keywords: &Map<String, Value>) -> Result<Vec<Shape<'_>>, Unjudged> {
    let types: Vec<&str> = match keywords.get("type") {
        None => TYPES.to_vec(),
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(other) => return Err(Unjudged(format!("`type`: {other}"))),
    };
    let mut all = Vec::new();
    for name in types {
        let shape = of_type(name).ok_or_else(|| Unjudged(format!("the type {name:?}")))?;
        all.push(limited(shape, keywords)?);
    }
    if let Some(refused) = keywords.get("not") {
        except(&mut all, refused)?;
    }
    let constants = match (keywords.get("enum"), keywords.get("const")) {
        (None, None) => return Ok(all),
        (Some(Value::Array(values)), None) => values.iter().collect(),
        (None, Some(value)) => vec![value],
        _ => return Err(Unjudged("`enum` beside `const`".to_owned())),
    };
    both(&all, &constant_shapes(&constants)?)
}

fn constant_shapes<'s>(constants: &[&Value]) -> Result<Vec<Shape<'s>>, Unjudged> {
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for &constant in constants {
        match constant {
            Value::Null => all.push(Shape::Null),
            Value::Bool(value) => all.push(Shape::Boolean(Some(*value))),
            Value::String(text) => {
                names.insert(text.clone());
            }
            Value::Number(number) => {
                let number = number
                    .as_i128()
                    .ok_or_else(|| Unjudged(format!("the constant {constant}")))?;
                all.push(Shape::Integer {
                    least: number,
                    most: number,
                });
            }
            Value::Array(_) | Value::Object(_) => {
                return Err(Unjudged(format!("the constant {constant}")));
            }
        }
    }
    if !names.is_empty() {
        all.push(Shape::Text(Text::among(names)));
    }
    Ok(all)
}

/// `not` is judged where it takes words out of texts, as an open enum needs it.
fn except(all: &mut [Shape<'_>], refused: &Value) -> Result<(), Unjudged> {
    let outside = || Unjudged("`not` of anything but words".to_owned());
    // Any other keyword lets some of the words through.
    let alone = refused.as_object().filter(|keywords| keywords.len() == 1);
    let words = alone
        .and_then(|keywords| keywords.get("enum")?.as_array())
        .ok_or_else(outside)?;
    for shape in all {
        let Shape::Text(text) = shape else {
            return Err(outside());
        };
        for word in words {
            text.except
                .insert(word.as_str().ok_or_else(outside)?.to_owned());
        }
    }
    Ok(())
}

fn limited<'s>(shape: Shape<'s>, keywords: &'s Map<String, Value>) -> Result<Shape<'s>, Unjudged> {
    Ok(match shape {
        Shape::Null | Shape::Boolean(_) => shape,
        Shape::Integer { .. } => integer(keywords)?,
        Shape::Number { .. } => number(keywords)?,
        Shape::Text(_) => Shape::Text(Text {
            least: count(keywords, "minLength")?.unwrap_or(0),
            most: count(keywords, "maxLength")?,
            patterns: names(keywords, "pattern")?,
            formats: names(keywords, "format")?,
            ..Text::default()
        }),
        Shape::List(_) => Shape::List(List {
            items: keywords.get("items").map(Part::of),
            least: count(keywords, "minItems")?.unwrap_or(0),
            most: count(keywords, "maxItems")?,
            unique: keywords.get("uniqueItems") == Some(&Value::Bool(true)),
        }),
        Shape::Object(_) => Shape::Object(object(keywords)?),
    })
}

/// The value as an integer, if it is one.
pub(super) fn integer_of(value: &Value) -> Option<i128> {
    value.as_number()?.as_i128()
}

fn integer<'s>(keywords: &Map<String, Value>) -> Result<Shape<'s>, Unjudged> {
    let limit = |keyword: &str| match keywords.get(keyword) {
        None => Ok(None),
        Some(value) => match integer_of(value) {
            Some(number) => Ok(Some(number)),
            None => Err(Unjudged(format!("`{keyword}`: {value}"))),
        },
    };
    no_format(keywords, &[])?;
    let above = limit("exclusiveMinimum")?.map(|number| number.saturating_add(1));
    let below = limit("exclusiveMaximum")?.map(|number| number.saturating_sub(1));
    Ok(Shape::Integer {
        least: limit("minimum")?.max(above).unwrap_or(i128::MIN),
        most: [limit("maximum")?, below]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(i128::MAX),
    })
}

fn number<'s>(keywords: &Map<String, Value>) -> Result<Shape<'s>, Unjudged> {
    let limit = |keyword: &str, none| match keywords.get(keyword) {
        None => Ok(none),
        Some(value) => value
            .as_f64()
            .ok_or_else(|| Unjudged(format!("`{keyword}`: {value}"))),
    };
    no_format(keywords, &["double", "float"])?;
    for keyword in ["exclusiveMinimum", "exclusiveMaximum"] {
        if keywords.contains_key(keyword) {
            return Err(Unjudged(format!("`{keyword}` of a number with a fraction")));
        }
    }
    Ok(Shape::Number {
        least: limit("minimum", f64::NEG_INFINITY)?,
        most: limit("maximum", f64::INFINITY)?,
    })
}

/// A number's format that is no range is one that nobody here knows.
fn no_format(keywords: &Map<String, Value>, but: &[&str]) -> Result<(), Unjudged> {
    match keywords.get("format").and_then(Value::as_str) {
        Some(format) if !but.contains(&format) => {
            Err(Unjudged(format!("the format {format:?} of a number")))
        }
        _ => Ok(()),
    }
}

fn count(keywords: &Map<String, Value>, keyword: &str) -> Result<Option<u64>, Unjudged> {
    match keywords.get(keyword) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(count) => Ok(Some(count)),
            None => Err(Unjudged(format!("`{keyword}`: {value}"))),
        },
    }
}

fn names(keywords: &Map<String, Value>, keyword: &str) -> Result<BTreeSet<String>, Unjudged> {
    match keywords.get(keyword) {
        None => Ok(BTreeSet::new()),
        Some(Value::String(name)) => Ok(BTreeSet::from([name.clone()])),
        Some(other) => Err(Unjudged(format!("`{keyword}`: {other}"))),
    }
}

fn object(keywords: &Map<String, Value>) -> Result<Object<'_>, Unjudged> {
    let of_objects = [
        "type",
        "properties",
        "required",
        "patternProperties",
        "additionalProperties",
    ];
    let rest = match keywords.get("additionalProperties") {
        // Nothing is said of any type: it may be anything, and not just an object of no fields.
        None if !of_objects
            .iter()
            .any(|&keyword| keywords.contains_key(keyword)) =>
        {
            Rest::Anything
        }
        None => Rest::Unsaid,
        Some(Value::Bool(false)) => Rest::Refused,
        Some(Value::Bool(true)) => Rest::Anything,
        Some(schema) => Rest::Of(Part::of(schema)),
    };
    let fields = match keywords.get("properties") {
        None => BTreeMap::new(),
        Some(Value::Object(fields)) => {
            let fields = fields.iter();
            fields
                .map(|(name, schema)| (name.clone(), Part::of(schema)))
                .collect()
        }
        Some(other) => return Err(Unjudged(format!("`properties`: {other}"))),
    };
    let required = list(keywords, "required")?.iter();
    let keys = match keywords.get("patternProperties") {
        None => None,
        Some(Value::Object(patterns)) if patterns.len() == 1 => {
            let mut patterns = patterns.iter();
            patterns
                .next()
                .map(|(pattern, schema)| (pattern.clone(), Part::of(schema)))
        }
        Some(_) => {
            return Err(Unjudged(
                "`patternProperties` of several patterns".to_owned(),
            ));
        }
    };
    Ok(Object {
        fields,
        required: required
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        keys,
        rest,
    })
}
