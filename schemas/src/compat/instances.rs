//! The judge by execution: values at the edges of what may be written, given to a reader.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Execution;
use super::samples::{self, of_format, of_pattern, repeated};
use super::shape::{List, Object, Part, Rest, Shape, Unjudged, integer_of};
use super::text::{Text, translated};

/// Types that hold themselves are filled so deep, and then with the least that they allow.
const DEEPEST: usize = 4;
/// What must be filled is filled so deep: a type that must hold itself has no value.
const BOTTOM: usize = 32;
/// Texts and lists are made so long at most, if their limit is farther.
pub(super) const LONGEST: u64 = 2_000;
/// All instances together are made of so many values at most, long texts being several.
const MOST: usize = 4_000_000;
/// Ranges of no more integers than this are tried out.
const FEW: i128 = 16;

/// Gives the reader every instance of what may be written.
///
/// `reads` is the reader's schema: its edges are tried too, where the writer may reach them.
pub(super) fn judge(
    written: &Value,
    reads: &Value,
    decode: &dyn Fn(&Value) -> Result<(), String>,
) -> Execution {
    let instances = match instances(written, reads) {
        Ok(instances) if instances.is_empty() => {
            return Execution::Unjudged(format!(
                "no instance could be made of it: no value is valid, or none that is nested less than {BOTTOM} deep"
            ));
        }
        Ok(instances) => instances,
        Err(Unjudged(what)) => return Execution::Unjudged(what),
    };
    let refused = instances
        .iter()
        .find_map(|instance| Some((instance, decode(instance).err()?)));
    match refused {
        None => Execution::Reads {
            instances: instances.len(),
        },
        Some((instance, why)) => Execution::Refuses {
            instance: instance.clone(),
            why,
        },
    }
}

/// Values that may be written.
pub(super) fn instances(written: &Value, reads: &Value) -> Result<Vec<Value>, Unjudged> {
    let maker = Maker {
        root: written,
        edges: Edges::of(reads),
        made: Cell::new(0),
    };
    let mut instances = maker.part(&Part::of(written), 0)?;
    let mut seen = BTreeSet::new();
    instances.retain(|instance| seen.insert(instance.to_string()));
    Ok(instances)
}

/// Where a reader's schema changes its mind.
#[derive(Default)]
struct Edges {
    integers: BTreeSet<i128>,
    lengths: BTreeSet<u64>,
    words: BTreeSet<String>,
    /// Those beside the ranges of a pattern's letters.
    letters: BTreeSet<char>,
    fields: BTreeSet<String>,
}

impl Edges {
    fn of(reads: &Value) -> Self {
        let mut edges = Self::default();
        crate::json::walk(reads, &mut |_, keywords| edges.collect(keywords));
        edges
    }

    fn collect(&mut self, keywords: &Map<String, Value>) {
        for keyword in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"] {
            let number = keywords.get(keyword).and_then(integer_of);
            self.integers.extend(
                number
                    .into_iter()
                    .flat_map(|number| [number - 1, number, number + 1]),
            );
        }
        for keyword in ["minLength", "maxLength", "minItems", "maxItems"] {
            let length = keywords.get(keyword).and_then(Value::as_u64);
            self.lengths.extend(
                length.into_iter().flat_map(|length| {
                    [length.saturating_sub(1), length, length.saturating_add(1)]
                }),
            );
        }
        let listed = keywords
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for constant in listed.chain(keywords.get("const")) {
            match constant {
                Value::String(word) => _ = self.words.insert(word.clone()),
                other => self.integers.extend(integer_of(other)),
            }
        }
        let pattern = keywords.get("pattern").and_then(Value::as_str);
        let pattern =
            pattern.and_then(|pattern| regex_syntax::parse(&translated(pattern).ok()?).ok());
        if let Some(pattern) = pattern {
            samples::letters_beside(&pattern, &mut self.letters);
        }
        let fields = keywords.get("properties").and_then(Value::as_object);
        self.fields
            .extend(fields.into_iter().flat_map(Map::keys).cloned());
    }
}

/// What a pattern without ends lets stand beside it.
const ODD: [&str; 7] = ["x", "A", "0", "_", " ", "\0", "\u{e9}"];

struct Maker<'s> {
    root: &'s Value,
    edges: Edges,
    /// How many values there are by now.
    made: Cell<usize>,
}

impl<'s> Maker<'s> {
    /// Before so many values are made.
    fn make(&self, values: usize) -> Result<(), Unjudged> {
        let made = self.made.get().saturating_add(values);
        self.made.set(made);
        if made > MOST {
            return Err(Unjudged(
                "more instances than can be tried: too many fields, branches or edges".to_owned(),
            ));
        }
        Ok(())
    }

    fn part(&self, part: &Part<'s>, depth: usize) -> Result<Vec<Value>, Unjudged> {
        let shapes = part.shapes(self.root)?;
        let flat = |shape: &Shape<'_>| !matches!(shape, Shape::List(_) | Shape::Object(_));
        let enough = depth > DEEPEST && shapes.iter().any(flat);
        let mut all = Vec::new();
        for shape in &shapes {
            if flat(shape) || !enough {
                all.extend(self.shape(shape, depth)?);
            }
        }
        Ok(all)
    }

    fn shape(&self, shape: &Shape<'s>, depth: usize) -> Result<Vec<Value>, Unjudged> {
        Ok(match shape {
            Shape::Null => vec![Value::Null],
            Shape::Boolean(None) => vec![json!(false), json!(true)],
            Shape::Boolean(Some(value)) => vec![json!(value)],
            Shape::Integer { least, most } => self.integers(*least, *most),
            Shape::Number { least, most } => self.numbers(*least, *most),
            Shape::Text(text) => self.texts(text)?.into_iter().map(Value::String).collect(),
            Shape::List(list) => self.lists(list, depth)?,
            Shape::Object(object) => self.objects(object, depth)?,
        })
    }

    fn integers(&self, least: i128, most: i128) -> Vec<Value> {
        // What JSON libraries hold: beyond it a number is a float.
        let (least, most) = (least.max(i64::MIN.into()), most.min(u64::MAX.into()));
        let mut all = vec![least, most];
        // The whole of a small range, for the sets that are made of it.
        all.extend(
            (most - least <= FEW)
                .then_some(least..=most)
                .into_iter()
                .flatten(),
        );
        all.extend(
            [0, 1, -1]
                .iter()
                .chain(&self.edges.integers)
                .filter(|number| (least..=most).contains(number)),
        );
        all.into_iter()
            .filter(|_| least <= most)
            .filter_map(serde_json::Number::from_i128)
            .map(Value::Number)
            .collect()
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "an edge that is near is near enough"
    )]
    fn numbers(&self, least: f64, most: f64) -> Vec<Value> {
        let edges = self.edges.integers.iter().map(|&number| number as f64);
        let some = [0.0, 0.5, -1.5, 1e10, -1e10, least, most].into_iter();
        let within = some
            .chain(edges)
            .filter(|number| number.is_finite() && least <= *number && *number <= most);
        within.map(|number| json!(number)).collect()
    }

    fn texts(&self, text: &Text) -> Result<Vec<String>, Unjudged> {
        if text.least > LONGEST {
            let least = text.least;
            return Err(Unjudged(format!("a text of at least {least} characters")));
        }
        let has = text.has();
        if let Some(words) = &text.among {
            return Ok(words.iter().filter(|word| has(word)).cloned().collect());
        }
        let longest = text.most.unwrap_or(text.least + 300).min(LONGEST);
        let mut all: Vec<String> = Vec::new();
        for format in &text.formats {
            all.extend(of_format(format).iter().map(|&text| text.to_owned()));
        }
        for pattern in &text.patterns {
            // A pattern without ends is found in longer texts too.
            for sample in of_pattern(pattern, longest)? {
                let odd = ODD.iter().map(|&odd| odd.to_owned());
                let odd = odd.chain(self.edges.letters.iter().map(char::to_string));
                let longer: Vec<_> = odd
                    .flat_map(|odd| [format!("{sample}{odd}"), format!("{odd}{sample}")])
                    .collect();
                all.push(sample);
                all.extend(longer);
            }
        }
        if text.formats.is_empty() && text.patterns.is_empty() {
            let lengths = [text.least, text.least + 1, longest].into_iter();
            let lengths = lengths.chain(
                self.edges
                    .lengths
                    .iter()
                    .copied()
                    .filter(|length| *length <= LONGEST),
            );
            for length in lengths {
                all.extend(
                    ["x", "é", "\u{1f600}"]
                        .map(|letter| letter.repeat(usize::try_from(length).unwrap_or(0))),
                );
            }
            let letters = self.edges.letters.iter().map(char::to_string);
            all.extend(letters.map(|letter| repeated(&letter, text.least.max(1))));
            all.extend(["a b", "0", "null", "\"\\\u{0}\n"].map(str::to_owned));
        }
        all.extend(self.edges.words.iter().cloned());
        self.make(all.iter().map(|text| 1 + text.len() / 32).sum())?;
        // Not a word that the reader knows, but the one that it never heard of comes first.
        let valid: Vec<_> = all.into_iter().filter(|sample| has(sample)).collect();
        if valid.is_empty() {
            return Err(Unjudged(
                "a text of which no instance could be made".to_owned(),
            ));
        }
        Ok(valid)
    }

    fn lists(&self, list: &List<'s>, depth: usize) -> Result<Vec<Value>, Unjudged> {
        if list.least > LONGEST {
            let least = list.least;
            return Err(Unjudged(format!("a list of at least {least} items")));
        }
        if depth > DEEPEST && list.least == 0 {
            return Ok(vec![json!([])]);
        }
        if depth > BOTTOM {
            return Ok(Vec::new());
        }
        let mut items = match &list.items {
            Some(part) => self.part(part, depth + 1)?,
            None => vec![json!(1), json!("a"), Value::Null, json!({"a": []})],
        };
        let mut seen = BTreeSet::new();
        items.retain(|item| seen.insert(item.to_string()));
        let longest = list.most.unwrap_or(list.least + 3).min(LONGEST);
        let lengths = [list.least, list.least + 1, 2, longest]
            .into_iter()
            .chain(self.edges.lengths.iter().copied());
        let lengths: BTreeSet<u64> = lengths
            .filter(|length| (list.least..=longest).contains(length))
            .filter(|length| depth <= DEEPEST || *length == list.least)
            .collect();
        let sizes: usize = items.iter().map(size).sum();
        let mut all = Vec::new();
        for length in lengths {
            let length = usize::try_from(length).unwrap_or(0);
            self.make(sizes.saturating_mul(length))?;
            if list.unique {
                all.extend((items.len() >= length).then(|| Value::from(&items[..length])));
            } else {
                let enough = |item: &Value| Value::from(vec![item.clone(); length]);
                let each = if length == 0 { &items[..0] } else { &items[..] };
                all.extend(each.iter().map(enough));
                all.extend((length == 0).then(|| json!([])));
            }
        }
        if list.unique && longest > 0 && list.least <= 1 {
            all.extend(items.iter().map(|item| json!([item])));
        }
        Ok(all)
    }

    fn objects(&self, object: &Object<'s>, depth: usize) -> Result<Vec<Value>, Unjudged> {
        let mut fields: BTreeMap<&String, Vec<Value>> = BTreeMap::new();
        for (name, part) in &object.fields {
            let required = object.required.contains(name);
            if depth > DEEPEST && !required {
                continue;
            }
            let values = if depth > BOTTOM {
                Vec::new()
            } else {
                self.part(part, depth + 1)?
            };
            if values.is_empty() && required {
                return Ok(Vec::new());
            }
            fields.extend((!values.is_empty()).then_some((name, values)));
        }
        if object
            .required
            .iter()
            .any(|name| !fields.contains_key(name))
        {
            return without_schema(object, fields);
        }
        let full: Map<_, _> = fields
            .iter()
            .map(|(name, values)| ((*name).clone(), values[0].clone()))
            .collect();
        let mut least = full.clone();
        least.retain(|name, _| object.required.contains(name));
        let variants: usize = fields.values().map(Vec::len).sum();
        let each: usize = full.values().map(size).sum();
        self.make((variants + fields.len()).saturating_mul(1 + each))?;
        let mut all = vec![full.clone(), least];
        for (&name, values) in &fields {
            for value in &values[1..] {
                let mut one = full.clone();
                one.insert(name.clone(), value.clone());
                all.push(one);
            }
            if !object.required.contains(name) {
                let mut one = full.clone();
                one.remove(name);
                all.push(one);
            }
        }
        let unnamed = self.unnamed(object, depth)?;
        self.make(unnamed.len().saturating_mul(1 + each))?;
        for (name, value) in unnamed {
            if !fields.contains_key(&name) {
                let mut one = full.clone();
                one.insert(name, value);
                all.push(one);
            }
        }
        Ok(all.into_iter().map(Value::Object).collect())
    }

    /// Fields that the schema has no name for.
    fn unnamed(&self, object: &Object<'s>, depth: usize) -> Result<Vec<(String, Value)>, Unjudged> {
        let mut all = Vec::new();
        if let Some((pattern, part)) = &object.keys {
            // Short ones: the name that a number has begins with no zero, which its pattern does not say.
            let names = of_pattern(pattern, 1)?;
            let values = if depth > DEEPEST {
                Vec::new()
            } else {
                self.part(part, depth + 1)?
            };
            for value in values {
                all.extend(names.iter().map(|name| (name.clone(), value.clone())));
            }
        }
        let values = match &object.rest {
            Rest::Unsaid | Rest::Refused => Vec::new(),
            Rest::Anything => vec![json!(1), json!("a"), Value::Null, json!([{}])],
            Rest::Of(_) if depth > DEEPEST => Vec::new(),
            Rest::Of(part) => self.part(part, depth + 1)?,
        };
        for value in values {
            let names = self
                .edges
                .fields
                .iter()
                .map(String::as_str)
                .chain(["key", "", "é"]);
            all.extend(names.map(|name| (name.to_owned(), value.clone())));
        }
        Ok(all)
    }
}

/// How many values there are in the value, long texts being several.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.values().map(size).sum(),
        Value::String(text) => text.len() / 32,
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// A required field without a schema holds anything.
fn without_schema(
    object: &Object<'_>,
    fields: BTreeMap<&String, Vec<Value>>,
) -> Result<Vec<Value>, Unjudged> {
    if let Rest::Refused | Rest::Of(_) = object.rest {
        return Err(Unjudged("a required field that has no schema".to_owned()));
    }
    let mut full: Map<_, _> = fields
        .into_iter()
        .map(|(name, mut values)| (name.clone(), values.swap_remove(0)))
        .collect();
    for name in &object.required {
        full.entry(name.clone()).or_insert_with(|| json!(1));
    }
    Ok(vec![Value::Object(full)])
}
