//! Texts at the edges of a format or a pattern.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind};

use super::instances::LONGEST;
use super::shape::Unjudged;
use super::text::translated;

/// Repetitions of repetitions soon make texts that no memory holds, so many bytes being enough.
const LARGEST: usize = 1 << 20;
/// Of one repetition or class in a pattern, so many.
const MOST_SAMPLES: usize = 24;

/// Texts that have the format, as our types write them and at their edges.
pub(super) fn of_format(format: &str) -> &'static [&'static str] {
    match format {
        "date" => &["1970-01-01", "2024-02-29", "2100-12-31"],
        "date-time" => &[
            "2025-09-28T07:48:06Z",
            "1970-01-01T00:00:00Z",
            "2024-02-29T23:59:59.123456789Z",
            "2100-12-31T23:59:59.5+14:00",
        ],
        "duration" => &["PT0S", "P1DT2H3M4S"],
        "email" => &["a@example.org"],
        "ipv4" => &["0.0.0.0", "255.255.255.255"],
        "ipv6" => &["::", "2001:db8::1"],
        "time" => &["00:00:00Z", "23:59:59.5Z"],
        "uri" => &["https://example.org/a?b#c", "urn:a:b"],
        "uuid" => &[
            "00000000-0000-0000-0000-000000000000",
            "01998f3c-6e00-7a3b-8c55-0d4b6f1e2a01",
            "FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF",
        ],
        _ => &[],
    }
}

/// Texts in which the pattern is found: the ends of each class, each branch, the edges of each repetition.
pub(super) fn of_pattern(pattern: &str, longest: u64) -> Result<Vec<String>, Unjudged> {
    let parsed = regex_syntax::parse(&translated(pattern)?);
    let pattern = parsed.map_err(|_| Unjudged(format!("the pattern {pattern:?}")))?;
    Ok(of_part(&pattern, longest))
}

fn of_part(pattern: &Hir, longest: u64) -> Vec<String> {
    match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![String::new()],
        HirKind::Literal(literal) => vec![String::from_utf8_lossy(&literal.0).into_owned()],
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.iter().take(MOST_SAMPLES);
            let mut ends: Vec<_> = ranges
                .flat_map(|range| [range.start(), range.end()])
                .collect();
            ends.dedup();
            // A letter first, if there is one: what is made of it is easier to read.
            ends.sort_by_key(|letter| !letter.is_ascii_alphanumeric());
            ends.into_iter().map(String::from).collect()
        }
        HirKind::Class(Class::Bytes(class)) => class
            .iter()
            .map(|range| char::from(range.start()).to_string())
            .collect(),
        HirKind::Capture(capture) => of_part(&capture.sub, longest),
        HirKind::Alternation(branches) => branches
            .iter()
            .flat_map(|branch| of_part(branch, longest))
            .collect(),
        HirKind::Concat(parts) => {
            let parts: Vec<_> = parts.iter().map(|part| of_part(part, longest)).collect();
            one_at_a_time(&parts)
        }
        HirKind::Repetition(repetition) => {
            let (least, most) = (u64::from(repetition.min), repetition.max.map(u64::from));
            let most = most.unwrap_or(least.max(longest)).min(LONGEST);
            let one = of_part(&repetition.sub, longest);
            let mut all: Vec<String> = one
                .iter()
                .take(MOST_SAMPLES)
                .map(|sample| repeated(sample, least.max(1).min(most)))
                .collect();
            for times in [
                least,
                least + 1,
                most.saturating_sub(2),
                most.saturating_sub(1),
                most,
            ] {
                if (least..=most).contains(&times) {
                    all.extend(one.first().map(|sample| repeated(sample, times)));
                }
            }
            all
        }
    }
}

pub(super) fn repeated(sample: &str, times: u64) -> String {
    let enough = LARGEST / sample.len().max(1);
    sample.repeat(usize::try_from(times).unwrap_or(enough).min(enough))
}

/// The first sample of every part, and each other sample of each part among the first of the others.
fn one_at_a_time(parts: &[Vec<String>]) -> Vec<String> {
    let with = |at: usize, sample: &String| -> String {
        let parts = parts.iter().enumerate();
        let chosen = parts.filter_map(|(part, samples)| {
            if part == at {
                Some(sample)
            } else {
                samples.first()
            }
        });
        chosen.map(String::as_str).collect()
    };
    let mut all = Vec::new();
    for (at, samples) in parts.iter().enumerate() {
        all.extend(
            samples
                .iter()
                .skip(usize::from(at > 0))
                .map(|sample| with(at, sample)),
        );
    }
    all
}

/// Collects the letters next to the ranges of a pattern, which it just does not take.
pub(super) fn letters_beside(pattern: &Hir, letters: &mut BTreeSet<char>) {
    if let HirKind::Class(Class::Unicode(class)) = pattern.kind() {
        for range in class.iter().take(MOST_SAMPLES) {
            let before = u32::from(range.start()).checked_sub(1);
            let after = Some(u32::from(range.end()) + 1);
            letters.extend(
                [before, after]
                    .into_iter()
                    .flatten()
                    .filter_map(char::from_u32),
            );
        }
    }
    for part in pattern.kind().subs() {
        letters_beside(part, letters);
    }
}
