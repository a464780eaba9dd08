use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use common::dead_letters::{DeadLetters, Filter, Letter};
use jiff::Timestamp;
use serde::Serialize;

use super::{FilterArgs, PARK_AT, kind, printable};

/// What a line of the table shows of a reason.
const REASON_WIDTH: usize = 80;

/// List the letters, grouped by queue group, channel and reason.
///
/// A letter is parked if it was sent again before: `redrive` leaves it where it is. Letters of the kind `given-up` are messages
/// that the server has delivered as often as it may; they are still in their stream.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sgt dead-letters list
  sgt dead-letters list --group orders-service --kind rejected --json")]
pub(super) struct Args {
    #[command(flatten)]
    filter: FilterArgs,

    /// One JSON array, with the number of every letter
    #[arg(long)]
    json: bool,
}

/// Letters that died of the same.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    group: String,
    channel: Option<String>,
    kind: &'static str,
    reason: String,
    letters: usize,
    /// How many of them were sent again before.
    parked: usize,
    oldest: Death,
    newest: Death,
    sequences: Vec<u64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Death {
    sequence: u64,
    died_at: Timestamp,
}

impl Line {
    fn of(letter: &Letter, death: Death) -> Self {
        Self {
            group: letter.group.clone(),
            channel: letter.channel.clone(),
            kind: kind(letter),
            reason: letter.reason.clone(),
            letters: 0,
            parked: 0,
            oldest: death,
            newest: death,
            sequences: Vec::new(),
        }
    }

    fn add(&mut self, letter: &Letter, death: Death) {
        self.letters += 1;
        self.parked += usize::from(letter.is_parked_at(PARK_AT));
        if death.died_at < self.oldest.died_at {
            self.oldest = death;
        }
        if death.died_at >= self.newest.died_at {
            self.newest = death;
        }
        self.sequences.push(letter.sequence);
    }

    fn cells(&self) -> [String; 8] {
        let death = |Death { sequence, died_at }| format!("#{sequence} {died_at:.0}");
        let mut reason = printable(&self.reason);
        if let Some((end, _)) = reason.char_indices().nth(REASON_WIDTH) {
            reason.truncate(end);
            reason.push('…');
        }
        [
            printable(&self.group),
            self.channel.as_deref().map_or("?".to_owned(), printable),
            self.kind.to_owned(),
            self.letters.to_string(),
            self.parked.to_string(),
            death(self.oldest),
            death(self.newest),
            reason,
        ]
    }
}

pub(super) async fn run(args: &Args, dead_letters: &DeadLetters) -> anyhow::Result<ExitCode> {
    let mut lines = BTreeMap::new();
    let mut letters = dead_letters.letters(Filter::from(&args.filter)).await?;
    while let Some(letter) = letters.next().await? {
        let death = Death {
            sequence: letter.sequence,
            died_at: letter.died_at,
        };
        let Letter {
            group,
            channel,
            kind,
            reason,
            ..
        } = &letter;
        let same = (group.clone(), channel.clone(), *kind, reason.clone());
        let line = lines
            .entry(same)
            .or_insert_with(|| Line::of(&letter, death));
        line.add(&letter, death);
    }
    let lines: Vec<_> = lines.into_values().collect();
    let none = if lines.is_empty() {
        args.filter.nothing()?
    } else {
        ""
    };

    let mut stdout = io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", serde_json::to_string(&lines)?)?;
    } else if lines.is_empty() {
        writeln!(stdout, "{none}")?;
    } else {
        write_table(&mut stdout, &lines)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_table(out: &mut impl io::Write, lines: &[Line]) -> io::Result<()> {
    let head = [
        "GROUP", "CHANNEL", "KIND", "LETTERS", "PARKED", "OLDEST", "NEWEST", "REASON",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(lines.iter().map(Line::cells));
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // A text takes what is written to it.
            let _ = write!(line, "{cell:<width$}  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
