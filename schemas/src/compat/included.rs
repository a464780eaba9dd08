//! The judge by structure: whether a reader's schema allows all that a writer's schema allows.

use std::collections::HashSet;

use serde_json::Value;

use super::reader::Reader;
use super::shape::{List, Object, Part, Rest, Shape, Unjudged};
use super::text::Text;
use super::{Finding, Structure};

/// Judges the explicit schema of a reader against the schema of what is written.
pub(super) fn judge(written: &Value, reads: &Value, reader: Reader) -> Structure {
    let mut judge = Judge {
        written,
        reads,
        reader,
        seen: HashSet::new(),
        depth: 0,
    };
    match judge.within(&Part::of(written), &Part::of(reads), "$") {
        Ok(findings) if findings.is_empty() => Structure::Reads,
        Ok(findings) => Structure::Breaks(findings),
        Err(finding) => Structure::Unjudged(finding),
    }
}

struct Judge<'s> {
    written: &'s Value,
    reads: &'s Value,
    reader: Reader,
    /// Pairs of places that are being judged or were: types may hold themselves.
    seen: HashSet<(Vec<usize>, Vec<usize>)>,
    /// How many fields and items the place that is judged is deep.
    depth: usize,
}

/// Values are judged so deep: beyond it, the stack would end.
const DEEPEST: usize = 200;

/// What a reader does not read, or the place that cannot be judged.
type Judged = Result<Vec<Finding>, Finding>;

fn finding(path: &str, what: impl Into<String>) -> Finding {
    Finding {
        path: path.to_owned(),
        what: what.into(),
    }
}

impl<'s> Judge<'s> {
    fn within(&mut self, written: &Part<'s>, read: &Part<'s>, path: &str) -> Judged {
        if !self.seen.insert((written.identity(), read.identity())) {
            return Ok(Vec::new());
        }
        if self.depth > DEEPEST {
            let what = format!("it is nested deeper than {DEEPEST}");
            return Err(finding(path, what));
        }
        match (written.shapes(self.written), read.shapes(self.reads)) {
            (Ok(written), Ok(read)) => {
                self.depth += 1;
                let judged = self.union_within(&written, &read, path);
                self.depth -= 1;
                judged
            }
            (Err(unjudged), _) | (_, Err(unjudged)) => {
                let same = written.reads_as(read) && same_definitions(self.written, self.reads);
                if same {
                    Ok(Vec::new())
                } else {
                    Err(unjudged_at(path, &unjudged))
                }
            }
        }
    }

    fn union_within(&mut self, written: &[Shape<'s>], read: &[Shape<'s>], path: &str) -> Judged {
        if self.reader == Reader::Strict && overlaps(read) {
            return Err(finding(path, "branches that one value may fit together"));
        }
        let mut findings = Vec::new();
        for shape in written {
            let candidates: Vec<_> = read.iter().filter(|read| same_type(shape, read)).collect();
            if candidates.is_empty() {
                let (written, read) = (name(shape), names(read));
                findings.push(finding(
                    path,
                    format!("{written} may be written, and the reader takes {read}"),
                ));
                continue;
            }
            findings.extend(self.shape_within(shape, &candidates, path)?);
        }
        Ok(findings)
    }

    fn shape_within(&mut self, written: &Shape<'s>, read: &[&Shape<'s>], path: &str) -> Judged {
        match written {
            Shape::Null => Ok(Vec::new()),
            Shape::Boolean(value) => Ok(boolean_within(*value, read, path)),
            Shape::Integer { least, most } => Ok(integer_within(*least, *most, read, path)),
            Shape::Number { least, most } => Ok(number_within(*least, *most, read, path)),
            Shape::Text(Text {
                among: Some(words),
                except,
                ..
            }) => {
                let written = words.difference(except);
                Ok(words_within(written, read, path))
            }
            Shape::Text(_) | Shape::List(_) | Shape::Object(_) => self.one_of(written, read, path),
        }
    }

    /// One of the reader's shapes must read it all. If none does, the one that comes nearest says why not.
    fn one_of(&mut self, written: &Shape<'s>, read: &[&Shape<'s>], path: &str) -> Judged {
        let mut nearest: Option<Vec<Finding>> = None;
        let mut unjudged = None;
        for read in read {
            let seen = self.seen.clone();
            match self.one_within(written, read, path) {
                Ok(findings) if findings.is_empty() => return Ok(findings),
                Ok(findings) => {
                    // What was assumed on a way that led nowhere is not known.
                    self.seen = seen;
                    let tag = |findings: &[Finding]| {
                        findings
                            .iter()
                            .filter(|finding| finding.what.contains("does not know it"))
                            .count()
                    };
                    if nearest.as_ref().is_none_or(|best| {
                        (tag(&findings), findings.len()) < (tag(best), best.len())
                    }) {
                        nearest = Some(findings);
                    }
                }
                Err(finding) => {
                    self.seen = seen;
                    unjudged = Some(finding);
                }
            }
        }
        unjudged.map_or_else(|| Ok(nearest.unwrap_or_default()), Err)
    }

    fn one_within(&mut self, written: &Shape<'s>, read: &Shape<'s>, path: &str) -> Judged {
        match (written, read) {
            (Shape::Text(written), Shape::Text(read)) => match written.not_within(read) {
                Ok(None) => Ok(Vec::new()),
                Ok(Some(why)) => Ok(vec![finding(path, why)]),
                Err(unjudged) => Err(unjudged_at(path, &unjudged)),
            },
            (Shape::List(written), Shape::List(read)) => {
                let mut findings = Vec::new();
                let longest = [written.most, self.most_distinct(written)];
                let longer = match (longest.into_iter().flatten().min(), read.most) {
                    (_, None) => false,
                    (None, Some(_)) => true,
                    (Some(written), Some(read)) => written > read,
                };
                if written.least < read.least || longer {
                    let (least, most) = (read.least, limit(read.most));
                    findings.push(finding(path, format!("the reader takes {least} to {most} items, and another number may be written")));
                }
                if read.unique && !written.unique && written.most.is_none_or(|most| most > 1) {
                    findings.push(finding(
                        path,
                        "an item may be written twice, and the reader takes each once",
                    ));
                }
                if written.most != Some(0) {
                    findings.extend(self.part_within(
                        written.items.as_ref(),
                        read.items.as_ref(),
                        &format!("{path}[*]"),
                    )?);
                }
                Ok(findings)
            }
            (Shape::Object(written), Shape::Object(read)) => {
                self.object_within(written, read, path)
            }
            _ => Ok(vec![finding(path, "the types differ")]),
        }
    }

    /// How long a list of which no item comes twice can be, if there is an end to its items.
    fn most_distinct(&self, list: &List<'s>) -> Option<u64> {
        let items = list.items.as_ref().filter(|_| list.unique)?;
        let counts = items
            .shapes(self.written)
            .ok()?
            .iter()
            .map(count)
            .collect::<Option<Vec<_>>>()?;
        Some(counts.into_iter().fold(0, u64::saturating_add))
    }

    /// `None` is anything.
    fn part_within(
        &mut self,
        written: Option<&Part<'s>>,
        read: Option<&Part<'s>>,
        path: &str,
    ) -> Judged {
        const ANYTHING: &Value = &Value::Bool(true);
        match (written, read) {
            (_, None) => Ok(Vec::new()),
            (Some(written), Some(read)) => self.within(written, read, path),
            (None, Some(read)) => self.within(&Part::of(ANYTHING), read, path),
        }
    }

    fn object_within(&mut self, written: &Object<'s>, read: &Object<'s>, path: &str) -> Judged {
        let mut findings = Vec::new();
        for (name, part) in &read.fields {
            let at = format!("{path}.{name}");
            if written.keys.is_some() && !written.fields.contains_key(name) {
                return Err(finding(&at, "a field beside `patternProperties`"));
            }
            match (written.fields.get(name), &written.rest) {
                (Some(field), _) => {
                    findings.extend(self.within(field, part, &at)?);
                }
                (None, Rest::Anything) => {
                    findings.extend(self.part_within(None, Some(part), &at)?);
                }
                (None, Rest::Of(field)) => {
                    findings.extend(self.within(&field.clone(), part, &at)?);
                }
                (None, Rest::Unsaid | Rest::Refused) => (),
            }
        }
        for name in &read.required {
            let at = format!("{path}.{name}");
            if written.required.contains(name) {
                continue;
            }
            findings.push(if written.fields.contains_key(name) {
                finding(&at, "it may be left out, and the reader requires it")
            } else {
                finding(
                    &at,
                    format!(
                        "it is not written, and the reader requires it{}",
                        renamed(written, read, name)
                    ),
                )
            });
        }
        for (name, part) in &written.fields {
            if read.fields.contains_key(name)
                || part
                    .shapes(self.written)
                    .is_ok_and(|shapes| shapes.is_empty())
            {
                continue;
            }
            let at = format!("{path}.{name}");
            if read.keys.is_some() {
                return Err(finding(&at, "a field beside `patternProperties`"));
            }
            findings.extend(self.unknown_within(Some(part), &read.rest, &at)?);
        }
        let at = format!("{path}.*");
        match (&written.keys, &read.keys) {
            (Some((pattern, part)), Some((other, read))) if pattern == other => {
                findings.extend(self.within(part, read, &at)?);
            }
            (Some((_, part)), None) => {
                findings.extend(self.unknown_within(Some(part), &read.rest, &at)?);
            }
            (Some(_), Some(_)) => return Err(finding(&at, "two patterns of names")),
            (None, Some(_)) if matches!(written.rest, Rest::Anything | Rest::Of(_)) => {
                return Err(finding(&at, "a map beside `patternProperties`"));
            }
            (None, _) => (),
        }
        match &written.rest {
            Rest::Unsaid | Rest::Refused => (),
            Rest::Anything => findings.extend(self.unknown_within(None, &read.rest, &at)?),
            Rest::Of(part) => findings.extend(self.unknown_within(Some(part), &read.rest, &at)?),
        }
        Ok(findings)
    }

    /// A field that the reader has no name for.
    fn unknown_within(
        &mut self,
        written: Option<&Part<'s>>,
        rest: &Rest<'s>,
        path: &str,
    ) -> Judged {
        let refused = vec![finding(
            path,
            "it may be written, and the reader refuses fields that it does not know",
        )];
        match rest {
            Rest::Refused => Ok(refused),
            Rest::Unsaid if self.reader == Reader::Strict => Ok(refused),
            Rest::Unsaid | Rest::Anything => Ok(Vec::new()),
            Rest::Of(part) => self.part_within(written, Some(part), path),
        }
    }
}

fn unjudged_at(path: &str, Unjudged(what): &Unjudged) -> Finding {
    finding(path, what.clone())
}

/// How many values have the shape, if there is an end to them.
fn count(shape: &Shape<'_>) -> Option<u64> {
    match shape {
        Shape::Null | Shape::Boolean(Some(_)) => Some(1),
        Shape::Boolean(None) => Some(2),
        Shape::Integer { least, most } => {
            u64::try_from(most.saturating_sub(*least).saturating_add(1)).ok()
        }
        Shape::Text(text) => u64::try_from(text.among.as_ref()?.len()).ok(),
        Shape::Number { .. } | Shape::List(_) | Shape::Object(_) => None,
    }
}

fn same_definitions(left: &Value, right: &Value) -> bool {
    let definitions = |root: &Value| crate::json::without_comments(&root["$defs"]);
    definitions(left) == definitions(right)
}

/// The one field that the reader lacks and that is written in the same words as the one it misses.
fn renamed(written: &Object<'_>, read: &Object<'_>, missing: &str) -> String {
    let Some(missed) = read.fields.get(missing) else {
        return String::new();
    };
    let new = written
        .fields
        .iter()
        .filter(|(name, part)| !read.fields.contains_key(*name) && part.reads_as(missed));
    let names: Vec<_> = new.map(|(name, _)| name).collect();
    match names[..] {
        [name] => format!("; `{name}` is written, which looks like it under another name"),
        _ => String::new(),
    }
}

fn boolean_within(value: Option<bool>, read: &[&Shape<'_>], path: &str) -> Vec<Finding> {
    let takes = |wanted| {
        let matches = |shape: &&Shape<'_>| matches!(shape, Shape::Boolean(value) if value.is_none_or(|value| value == wanted));
        read.iter().any(matches)
    };
    let written = value.map_or(vec![true, false], |value| vec![value]);
    let refused = written.into_iter().filter(|&value| !takes(value));
    refused
        .map(|value| {
            finding(
                path,
                format!("{value} may be written, and the reader refuses it"),
            )
        })
        .collect()
}

fn words_within<'w>(
    written: impl Iterator<Item = &'w String>,
    read: &[&Shape<'_>],
    path: &str,
) -> Vec<Finding> {
    let texts = read.iter().filter_map(|shape| match shape {
        Shape::Text(text) => Some(text.has()),
        _ => None,
    });
    let readers: Vec<_> = texts.collect();
    let unknown = written.filter(|word| !readers.iter().any(|has| has(word)));
    unknown
        .map(|word| {
            finding(
                path,
                format!("{word:?} may be written, and the reader does not know it"),
            )
        })
        .collect()
}

fn integer_within(least: i128, most: i128, read: &[&Shape<'_>], path: &str) -> Vec<Finding> {
    let mut ranges: Vec<(i128, i128)> = read.iter().filter_map(|shape| integers(shape)).collect();
    ranges.sort_unstable();
    let mut next = least;
    for (low, high) in &ranges {
        if *low <= next && next <= *high {
            if *high >= most {
                return Vec::new();
            }
            next = high + 1;
        }
    }
    let taken: Vec<_> = ranges
        .iter()
        .map(|(low, high)| between(*low, *high))
        .collect();
    let (written, taken) = (between(least, most), taken.join(" or "));
    vec![finding(
        path,
        format!("{written} may be written, and the reader takes {taken}"),
    )]
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, which is what is meant"
)]
fn integers(shape: &Shape<'_>) -> Option<(i128, i128)> {
    match shape {
        Shape::Integer { least, most } => Some((*least, *most)),
        Shape::Number { least, most } => Some((least.ceil() as i128, most.floor() as i128)),
        _ => None,
    }
}

fn number_within(least: f64, most: f64, read: &[&Shape<'_>], path: &str) -> Vec<Finding> {
    let takes = |shape: &&Shape<'_>| matches!(shape, Shape::Number { least: low, most: high } if *low <= least && most <= *high);
    if read.iter().any(takes) {
        return Vec::new();
    }
    vec![finding(
        path,
        "a number may be written that is out of the reader's range, or has a fraction",
    )]
}

fn between(least: i128, most: i128) -> String {
    match (least, most) {
        (i128::MIN, i128::MAX) => "any integer".to_owned(),
        (least, i128::MAX) => format!("{least} and more"),
        (i128::MIN, most) => format!("{most} and less"),
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least} to {most}"),
    }
}

fn limit(most: Option<u64>) -> String {
    most.map_or_else(|| "any number of".to_owned(), |most| most.to_string())
}

fn same_type(written: &Shape<'_>, read: &Shape<'_>) -> bool {
    matches!(
        (written, read),
        (Shape::Integer { .. }, Shape::Number { .. })
            | (Shape::Number { .. }, Shape::Integer { .. })
    ) || std::mem::discriminant(written) == std::mem::discriminant(read)
}

fn name(shape: &Shape<'_>) -> &'static str {
    match shape {
        Shape::Null => "null",
        Shape::Boolean(_) => "a boolean",
        Shape::Integer { .. } => "an integer",
        Shape::Number { .. } => "a number",
        Shape::Text(_) => "text",
        Shape::List(_) => "a list",
        Shape::Object(_) => "an object",
    }
}

fn names(shapes: &[Shape<'_>]) -> String {
    let mut names: Vec<_> = shapes.iter().map(name).collect();
    names.dedup();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(" or ")
    }
}

/// Whether one value may fit two of the shapes, as far as types and words tell.
fn overlaps(shapes: &[Shape<'_>]) -> bool {
    shapes.iter().enumerate().any(|(at, left)| {
        shapes[at + 1..].iter().any(|right| match (left, right) {
            (Shape::Text(left), Shape::Text(right)) => left.overlap(right).is_some(),
            (Shape::Object(left), Shape::Object(right)) => !told_apart(left, right),
            (
                Shape::Integer { least, most },
                Shape::Integer {
                    least: low,
                    most: high,
                },
            ) => least.max(low) <= most.min(high),
            (left, right) => same_type(left, right),
        })
    })
}

/// Whether a field that both require is another word in each, or one refuses what the other requires.
fn told_apart(left: &Object<'_>, right: &Object<'_>) -> bool {
    let refuses = |one: &Object<'_>, other: &Object<'_>| {
        matches!(one.rest, Rest::Refused)
            && other
                .required
                .iter()
                .any(|name| !one.fields.contains_key(name))
    };
    let other_word = left.required.intersection(&right.required).any(|name| {
        let (Some(left), Some(right)) = (left.fields.get(name), right.fields.get(name)) else {
            return false;
        };
        left.word()
            .zip(right.word())
            .is_some_and(|(left, right)| left != right)
    });
    other_word || refuses(left, right) || refuses(right, left)
}
