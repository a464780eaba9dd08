//! What the gate says, as text and as JSON.

use std::fmt;

use serde::Serialize;

use super::{Execution, Finding, Judgement, Structure, Verdict};

/// Who reads whose events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// What is deployed next reads what is in the streams (backward).
    NewReadsOld,
    /// What is deployed now reads what the next version publishes (forward).
    OldReadsNew,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewReadsOld => "new readers of old events (backward)",
            Self::OldReadsNew => "old readers of new events (forward)",
        })
    }
}

/// What breaks whom, and what to do instead.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Break {
    /// The event, or the file.
    pub event: String,
    /// The form that is not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<usize>,
    /// Who does not read whose events; `None`: it is about neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// What changed, and where.
    pub changes: Vec<Finding>,
    /// The queue groups that break.
    pub groups: Vec<String>,
    /// What the judge by execution says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// What to do instead.
    pub instead: String,
}

/// Something that breaks nobody, and that whoever deploys should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The event, or the file.
    pub event: String,
    /// What to know.
    pub note: String,
}

/// All that the gate says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was compared with.
    pub baseline: String,
    /// How many pairs of a writer and a reader were judged.
    pub judged: usize,
    /// What breaks.
    pub breaks: Vec<Break>,
    /// What to know.
    pub notes: Vec<Note>,
}

impl Report {
    pub(super) fn against(baseline: String) -> Self {
        Self {
            baseline,
            judged: 0,
            breaks: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Whether nothing breaks.
    #[must_use]
    pub fn is_compatible(&self) -> bool {
        self.breaks.is_empty()
    }

    pub(super) fn note(&mut self, event: &str, note: impl Into<String>) {
        self.notes.push(Note {
            event: event.to_owned(),
            note: note.into(),
        });
    }

    /// Enters what the judges say.
    pub(super) fn enter(&mut self, judgement: &Judgement, found: Found<'_>) {
        self.judged += 1;
        if judgement.verdict() == Verdict::Compatible {
            return;
        }
        let (changes, shown) = explained(judgement);
        let instead = match judgement.verdict() {
            Verdict::Unjudged => {
                "say it in keywords that are judged, or compare the two by hand".to_owned()
            }
            Verdict::Compatible | Verdict::Breaks | Verdict::Disagree => found.instead,
        };
        self.breaks.push(Break {
            event: found.event.to_owned(),
            form: found.form,
            direction: found.direction,
            changes,
            groups: found.groups.to_vec(),
            shown,
            instead,
        });
    }
}

/// Where a judgement belongs.
pub(super) struct Found<'a> {
    pub(super) event: &'a str,
    pub(super) form: Option<usize>,
    pub(super) direction: Option<Direction>,
    pub(super) groups: &'a [String],
    pub(super) instead: String,
}

fn explained(judgement: &Judgement) -> (Vec<Finding>, Option<String>) {
    let at_root = |what: String| {
        vec![Finding {
            path: "$".to_owned(),
            what,
        }]
    };
    let shown = match &judgement.execution {
        Execution::Refuses { instance, why } => Some(format!(
            "{} is refused: {why}",
            shortened(&instance.to_string())
        )),
        Execution::Reads { .. } | Execution::Unjudged(_) => None,
    };
    let changes = match (&judgement.structure, &judgement.execution) {
        (Structure::Unjudged(Finding { path, what }), _) => vec![Finding {
            path: path.clone(),
            what: format!("cannot be judged, which counts as a break: {what}"),
        }],
        (_, Execution::Unjudged(what)) => at_root(format!("cannot be judged, which counts as a break: {what}")),
        (Structure::Reads, Execution::Refuses { .. }) => at_root(
            "the judges disagree: by structure everything is read, and an instance is refused; the type reads less than its schema says"
                .to_owned(),
        ),
        (Structure::Breaks(findings), Execution::Reads { instances }) => {
            let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
            at_root(format!(
                "the judges disagree: all {instances} instances are read, and by structure it breaks at {}",
                findings.join("; ")
            ))
        }
        (Structure::Breaks(findings), Execution::Refuses { .. }) => findings.clone(),
        (Structure::Reads, Execution::Reads { .. }) => Vec::new(),
    };
    (changes, shown)
}

/// Long texts are at the edge of a limit: their beginning tells enough.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = self
            .form
            .map(|form| format!(" v{form}"))
            .unwrap_or_default();
        let event = format!("{}{form}", self.event);
        writeln!(f, "{event}")?;
        for change in &self.changes {
            writeln!(f, "  {change}")?;
        }
        if let Some(direction) = self.direction {
            writeln!(f, "  direction: {direction}")?;
        }
        if let Some((last, others)) = self.groups.split_last() {
            let read = if others.is_empty() { "reads" } else { "read" };
            let groups = if others.is_empty() {
                last.clone()
            } else {
                format!("{} and {last}", others.join(", "))
            };
            writeln!(f, "  breaks {groups}, which {read} {event}")?;
        }
        if let Some(shown) = &self.shown {
            writeln!(f, "  for example: {shown}")?;
        }
        writeln!(f, "  instead: {}", self.instead)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in &self.breaks {
            writeln!(f, "{found}")?;
        }
        for Note { event, note } in &self.notes {
            writeln!(f, "note: {event}: {note}")?;
        }
        let Self {
            baseline,
            judged,
            breaks,
            ..
        } = self;
        match breaks.len() {
            0 => writeln!(
                f,
                "compatible with {baseline} in both directions ({judged} judgements)"
            ),
            1 => writeln!(f, "1 break against {baseline}"),
            many => writeln!(f, "{many} breaks against {baseline}"),
        }
    }
}
