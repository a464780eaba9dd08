//! Texts within limits: words, lengths, patterns, formats.

use std::collections::{BTreeSet, HashSet};

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{MatchKind, util::syntax};
use serde_json::{Value, json};

use super::samples;
use super::shape::Unjudged;

/// What the format `uuid` allows, as a pattern.
const UUID: &str = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";
/// The formats that a validator asserts and that a type of ours may have.
const FORMATS: [&str; 9] = [
    "date",
    "date-time",
    "duration",
    "email",
    "ipv4",
    "ipv6",
    "time",
    "uri",
    "uuid",
];
/// An automaton may take so many bytes.
const LARGEST: usize = 8 << 20;
/// Two automata are walked in step through so many pairs of states.
const LONGEST_WALK: usize = 200_000;

/// Texts within limits; lengths are in characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text {
    /// None but these.
    pub(super) among: Option<BTreeSet<String>>,
    /// None of these.
    pub(super) except: BTreeSet<String>,
    pub(super) least: u64,
    pub(super) most: Option<u64>,
    pub(super) patterns: BTreeSet<String>,
    pub(super) formats: BTreeSet<String>,
}

impl Text {
    pub(super) fn among(words: BTreeSet<String>) -> Self {
        Self {
            among: Some(words),
            ..Self::default()
        }
    }

    pub(super) fn overlap(&self, other: &Self) -> Option<Self> {
        let among = match (&self.among, &other.among) {
            (Some(left), Some(right)) => Some(left & right),
            (words, None) | (None, words) => words.clone(),
        };
        if among.as_ref().is_some_and(BTreeSet::is_empty) {
            return None;
        }
        Some(Self {
            among,
            except: &self.except | &other.except,
            least: self.least.max(other.least),
            most: [self.most, other.most].into_iter().flatten().min(),
            patterns: &self.patterns | &other.patterns,
            formats: &self.formats | &other.formats,
        })
    }

    /// Whether a text is one of these.
    pub(super) fn has(&self) -> impl Fn(&str) -> bool {
        let validator = self.validator();
        move |text| {
            let among = self.among.as_ref().is_none_or(|words| words.contains(text));
            let valid = || {
                validator
                    .as_ref()
                    .is_none_or(|validator| validator.is_valid(&text.into()))
            };
            among && !self.except.contains(text) && valid()
        }
    }

    /// Checks lengths, patterns and formats. `None`: there are none, or they are no valid schema.
    fn validator(&self) -> Option<jsonschema::Validator> {
        let patterns = self
            .patterns
            .iter()
            .map(|pattern| json!({"pattern": pattern}));
        let formats = self.formats.iter().map(|format| json!({"format": format}));
        let mut all: Vec<Value> = patterns.chain(formats).collect();
        all.push(json!({"minLength": self.least}));
        all.extend(self.most.map(|most| json!({"maxLength": most})));
        super::reader::validator(&json!({"allOf": all})).ok()
    }

    /// Why `reader` does not read all texts of this one, which has no list of words; `None`: it does.
    pub(super) fn not_within(&self, reader: &Self) -> Result<Option<String>, Unjudged> {
        if let Some(words) = &reader.among {
            let known: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
            let known = known.join(", ");
            return Ok(Some(format!(
                "any text may be written, and the reader knows {known} only"
            )));
        }
        if !self.except.is_superset(&reader.except) {
            return Ok(Some(
                "words may be written that the reader refuses".to_owned(),
            ));
        }
        for format in reader.formats.difference(&self.formats) {
            if !FORMATS.contains(&format.as_str()) {
                return Err(Unjudged(format!("the format {format:?}")));
            }
            if format != "uuid" {
                return Ok(Some(format!(
                    "text may be written that has not the format {format:?} of the reader"
                )));
            }
        }
        self.not_within_limits(reader)
    }

    fn not_within_limits(&self, reader: &Self) -> Result<Option<String>, Unjudged> {
        let written = self.patterns_and_formats();
        let mut limits: Vec<_> = reader
            .patterns_and_formats()
            .difference(&written)
            .cloned()
            .collect();
        let longer = match (self.most, reader.most) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(written), Some(read)) => written > read,
        };
        if self.least < reader.least || longer {
            limits.push(length(reader.least, reader.most));
        }
        if limits.is_empty() {
            return Ok(None);
        }
        if let Some(format) = self.formats.iter().find(|&format| format != "uuid") {
            // A format that has no pattern here: its samples tell of a break, and nothing of its absence.
            let has = reader.has();
            let refused = samples::of_format(format)
                .iter()
                .find(|sample| !has(sample));
            let refused = refused.map(|sample| {
                format!(
                    "{sample:?} may be written, and the reader wants {}",
                    limits.join(" and ")
                )
            });
            return refused
                .map(Some)
                .ok_or_else(|| Unjudged(format!("the format {format:?} against {limits:?}")));
        }
        let mut writer = Vec::new();
        for pattern in &written {
            writer.push(automaton(pattern)?);
        }
        // Without limits too: it accepts what is UTF-8 only.
        writer.push(automaton(&length(self.least, self.most))?);
        for limit in limits {
            let reader = automaton(&limit)?;
            if let Some(witness) = outside(&writer, &reader)? {
                return Ok(Some(format!(
                    "{witness:?} may be written, and the reader wants {limit}"
                )));
            }
        }
        Ok(None)
    }

    fn patterns_and_formats(&self) -> BTreeSet<String> {
        let uuid = self.formats.contains("uuid").then(|| UUID.to_owned());
        self.patterns.iter().cloned().chain(uuid).collect()
    }
}

fn length(least: u64, most: Option<u64>) -> String {
    let most = most.map(|most| most.to_string()).unwrap_or_default();
    format!("^(?s:.){{{least},{most}}}$")
}

/// The pattern as the syntax crate reads it. ECMA-262 and it agree but for what is refused here.
pub(super) fn translated(pattern: &str) -> Result<String, Unjudged> {
    let outside = || Unjudged(format!("the pattern {pattern:?}"));
    let mut text = String::new();
    let mut in_class = false;
    let mut rest = pattern.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\\' => match rest.next().ok_or_else(outside)? {
                'd' if in_class => text.push_str("0-9"),
                'd' => text.push_str("[0-9]"),
                'w' if in_class => text.push_str("A-Za-z0-9_"),
                'w' => text.push_str("[A-Za-z0-9_]"),
                letter @ ('u' | 'x' | 'n' | 'r' | 't') => text.extend(['\\', letter]),
                letter if letter.is_ascii_alphanumeric() => return Err(outside()),
                letter => text.extend(['\\', letter]),
            },
            '[' if in_class => text.push_str("\\["),
            '[' => {
                in_class = true;
                text.push('[');
            }
            ']' if in_class => {
                in_class = false;
                text.push(']');
            }
            '&' | '~' | '-' if in_class && rest.peek() == Some(&letter) => return Err(outside()),
            letter => text.push(letter),
        }
    }
    Ok(text)
}

type Automata = dense::DFA<Vec<u32>>;

/// Accepts the whole texts in which the pattern is found.
fn automaton(pattern: &str) -> Result<Automata, Unjudged> {
    let whole = format!("\\A(?s:.)*(?:{})(?s:.)*\\z", translated(pattern)?);
    dense::Builder::new()
        .configure(
            dense::Config::new()
                .match_kind(MatchKind::All)
                .start_kind(StartKind::Anchored)
                .dfa_size_limit(Some(LARGEST))
                .determinize_size_limit(Some(4 * LARGEST)),
        )
        .syntax(syntax::Config::new())
        .build(&whole)
        .map_err(|_| Unjudged(format!("the pattern {pattern:?}")))
}

/// A text that all of `writer` accept and `reader` does not, one of the shortest.
fn outside(writer: &[Automata], reader: &Automata) -> Result<Option<String>, Unjudged> {
    let all: Vec<&Automata> = writer.iter().chain([reader]).collect();
    let too_large = |_| Unjudged("a pattern with look-around".to_owned());
    let mut first = Vec::new();
    for automaton in &all {
        let start = start::Config::new().anchored(Anchored::Yes);
        first.push(automaton.start_state(&start).map_err(too_large)?);
    }
    let mut seen: HashSet<Vec<StateID>> = HashSet::from([first.clone()]);
    // Each state with the place in the list that led to it, and the byte that did.
    let mut queue = vec![(first, 0, 0_u8)];
    let mut at = 0;
    while at < queue.len() {
        let states = queue[at].0.clone();
        let (read, written) = (
            accepts(reader, states[writer.len()]),
            &states[..writer.len()],
        );
        if !read
            && writer
                .iter()
                .zip(written)
                .all(|(automaton, &state)| accepts(automaton, state))
        {
            return Ok(Some(text_to(&queue, at)));
        }
        for byte in 0..=u8::MAX {
            let next: Vec<_> = all
                .iter()
                .zip(&states)
                .map(|(automaton, &state)| automaton.next_state(state, byte))
                .collect();
            let dead = writer
                .iter()
                .zip(&next)
                .any(|(automaton, &state)| automaton.is_dead_state(state));
            if !dead && seen.insert(next.clone()) {
                queue.push((next, at, byte));
            }
        }
        if queue.len() > LONGEST_WALK {
            return Err(Unjudged("patterns too large to compare".to_owned()));
        }
        at += 1;
    }
    Ok(None)
}

fn accepts(automaton: &Automata, state: StateID) -> bool {
    automaton.is_match_state(automaton.next_eoi_state(state))
}

fn text_to(queue: &[(Vec<StateID>, usize, u8)], mut at: usize) -> String {
    let mut bytes = Vec::new();
    while at > 0 {
        let (_, before, byte) = queue[at];
        bytes.push(byte);
        at = before;
    }
    bytes.reverse();
    String::from_utf8_lossy(&bytes).into_owned()
}
