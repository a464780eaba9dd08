//! The confusion table: what is true, and what the gate said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemas::compat::{Judgement, Verdict};

/// What a reader does, known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    /// It reads everything.
    Reads,
    /// It does not read something.
    Breaks,
    /// The schemas are outside of what is judged: the gate must say so.
    Unjudged,
}

impl FromStr for Truth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "reads" => Ok(Self::Reads),
            "breaks" => Ok(Self::Breaks),
            "unjudged" => Ok(Self::Unjudged),
            other => Err(format!("{other:?} is no verdict")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    NewReadsOld,
    OldReadsNew,
}

#[derive(Default)]
pub(crate) struct Table {
    cells: BTreeMap<(Direction, Truth, &'static str), usize>,
    edits: BTreeSet<String>,
    wrong: Vec<String>,
}

const VERDICTS: [&str; 4] = ["reads", "breaks", "unjudged", "disagree"];

impl Table {
    pub(crate) fn enter(
        &mut self,
        name: &str,
        direction: Direction,
        truth: Truth,
        judgement: &Judgement,
    ) {
        let (said, right) = match judgement.verdict() {
            Verdict::Compatible => ("reads", truth == Truth::Reads),
            Verdict::Breaks => ("breaks", truth == Truth::Breaks),
            Verdict::Unjudged => ("unjudged", truth == Truth::Unjudged),
            Verdict::Disagree => ("disagree", false),
        };
        self.edits.insert(name.to_owned());
        *self.cells.entry((direction, truth, said)).or_default() += 1;
        if !right {
            self.wrong.push(format!(
                "{name}, {direction:?}: {truth:?}, and the gate says {said}: {judgement:?}"
            ));
        }
    }

    pub(crate) fn edits(&self) -> usize {
        self.edits.len()
    }

    pub(crate) fn wrong(&self) -> &[String] {
        &self.wrong
    }

    fn cell(&self, direction: Direction, truth: Truth, said: &'static str) -> usize {
        self.cells
            .get(&(direction, truth, said))
            .copied()
            .unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} edits, {} judgements",
            self.edits.len(),
            self.cells.values().sum::<usize>()
        )?;
        for (direction, name) in [
            (Direction::NewReadsOld, "new reader of old events"),
            (Direction::OldReadsNew, "old reader of new events"),
        ] {
            writeln!(
                f,
                "{name:<26}{:>8}{:>8}{:>10}{:>10}",
                "reads", "breaks", "unjudged", "disagree"
            )?;
            for truth in [Truth::Reads, Truth::Breaks, Truth::Unjudged] {
                let row = format!("  in truth {truth:?}").to_lowercase();
                let [reads, breaks, unjudged, disagree] =
                    VERDICTS.map(|said| self.cell(direction, truth, said));
                writeln!(
                    f,
                    "{row:<26}{reads:>8}{breaks:>8}{unjudged:>10}{disagree:>10}"
                )?;
            }
            // A schema that is not judged counts as a break in CI; whether it is one, nobody knows.
            let hits = self.cell(direction, Truth::Breaks, "breaks");
            let said = hits
                + self.cell(direction, Truth::Reads, "breaks")
                + self.cell(direction, Truth::Reads, "disagree")
                + self.cell(direction, Truth::Reads, "unjudged");
            let real: usize = VERDICTS
                .iter()
                .map(|said| self.cell(direction, Truth::Breaks, said))
                .sum();
            writeln!(
                f,
                "  precision {hits} of {said} ({:.1} %), recall {hits} of {real} ({:.1} %)",
                percent(hits, said),
                percent(hits, real)
            )?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred")]
fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}
