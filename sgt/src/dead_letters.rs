//! `sgt dead-letters`: what the services could not handle.

mod discard;
mod list;
mod redrive;
mod show;

use std::fmt;
use std::process::ExitCode;

use clap::Subcommand;
use common::dead_letters::{DeadLetters, Filter, Kind, Letter};
use common::http::NATS_VARIABLES;

use crate::connection::Connection;

/// From how many redrives on a letter is parked, unless `--park-at` says otherwise.
const PARK_AT: u32 = 1;

/// See to the messages that a service could not handle: look at them, send them again, or drop them.
///
/// A letter stays until the copy that is sent again is acknowledged, or until it is dropped.
#[derive(Debug, clap::Args)]
#[command(after_help = NATS_VARIABLES)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Redrive(redrive::Args),
    Drop(discard::Args),
}

#[tokio::main]
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.connection.open().await?;
    let dead_letters = DeadLetters::new(&client);
    let outcome = match &args.command {
        Command::List(args) => list::run(args, &dead_letters).await,
        Command::Show(args) => show::run(args, &dead_letters).await,
        Command::Redrive(args) => redrive::run(args, &dead_letters).await,
        Command::Drop(args) => discard::run(args, &dead_letters).await,
    };
    client.close().await;
    outcome
}

/// Which letters are meant, by what they are.
#[derive(Debug, Clone, clap::Args)]
struct FilterArgs {
    /// Those of this queue group: the service that failed
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,

    /// Those of this channel, as `ticket:created`
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,

    /// Those that died for this reason: rejected, attempts-exhausted, undecodable, unknown, predecessor-missing,
    /// poison, or given-up (by the server)
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,

    /// Those about this aggregate: its id
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl From<&FilterArgs> for Filter {
    fn from(args: &FilterArgs) -> Self {
        let FilterArgs {
            group,
            channel,
            kind,
            key,
        } = args.clone();
        Self {
            group,
            channel,
            key,
            kind,
        }
    }
}

/// Which letters are meant: by number, by what they are, or all.
#[derive(Debug, clap::Args)]
struct Selection {
    /// Numbers of letters, as `list` shows them
    #[arg(
        value_name = "SEQUENCE",
        required_unless_present_any = ["group", "channel", "kind", "key", "all"],
        conflicts_with_all = ["group", "channel", "kind", "key", "all"],
    )]
    sequences: Vec<u64>,

    #[command(flatten)]
    filter: FilterArgs,

    /// Every letter there is
    #[arg(long, conflicts_with_all = ["group", "channel", "kind", "key"])]
    all: bool,
}

impl Selection {
    /// Does something with each letter that is meant, oldest first or as they are named. Yields the numbers that no letter has.
    async fn each(
        &self,
        dead_letters: &DeadLetters,
        mut action: impl AsyncFnMut(Letter) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<u64>> {
        let mut missing = Vec::new();
        if self.sequences.is_empty() {
            let mut letters = dead_letters.letters(Filter::from(&self.filter)).await?;
            while let Some(letter) = letters.next().await? {
                action(letter).await?;
            }
        }
        for &sequence in &self.sequences {
            match dead_letters.get(sequence).await? {
                Some(letter) => action(letter).await?,
                None => missing.push(sequence),
            }
        }
        Ok(missing)
    }
}

/// A letter in a line: `#7 orders-service ticket:created.0198…`.
struct Name<'l>(&'l Letter);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Letter {
            sequence,
            group,
            channel,
            key,
            ..
        } = self.0;
        write!(f, "#{sequence} {} ", printable(group))?;
        match (channel, key) {
            (Some(channel), Some(key)) => write!(f, "{}.{}", printable(channel), printable(key)),
            _ => f.write_str("(original gone)"),
        }
    }
}

fn kind(letter: &Letter) -> &'static str {
    letter.kind.map_or("?", Kind::as_str)
}

/// What others have written, without what a terminal would obey.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_does_not_obey_a_letter() {
        assert_eq!(printable("\u{1b}[2Jé\n"), "\\u{1b}[2Jé\\n");
    }
}
