//! `sgt dead-letters`: what the services could not handle.

mod discard;
mod list;
mod redrive;
mod show;

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write as _};
use std::pin::pin;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Subcommand;
use common::dead_letters::{DeadLetters, Filter, Kind, Letter};
use common::http::{NATS_VARIABLES, Stop, until_signalled};
use common::{Key, SubjectSet as _, Subjects};

use crate::INTERRUPTED;
use crate::connection::{Connection, explain};
use crate::name::Known;

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
        Command::Redrive(args) => {
            until_signalled(|stop| redrive::run(args, &dead_letters, stop)).await
        }
        Command::Drop(args) => {
            until_signalled(|stop| discard::run(args, &dead_letters, stop)).await
        }
    };
    let outcome = outcome.map_err(|err| explain(&client, err));
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

impl FilterArgs {
    /// What to say of it that no letter is meant.
    ///
    /// # Errors
    ///
    /// If that is no wonder: there is no such group, channel or key. Letters of another list can be told by names that ours
    /// does not have, so nobody asks before it was looked for them.
    fn nothing(&self) -> anyhow::Result<&'static str> {
        let Self {
            group,
            channel,
            kind,
            key,
        } = self;
        if let Some(name) = group {
            let groups: BTreeSet<_> = Subjects::ALL
                .iter()
                .flat_map(|subject| subject.consumers())
                .map(|group| group.as_str())
                .collect();
            let known = Known::new(name, groups);
            ensure!(
                known.has_name(),
                "no dead letters of group `{}`: {known}",
                printable(name)
            );
        }
        if let Some(name) = channel {
            let known = Known::new(name, Subjects::ALL.iter().map(|subject| subject.as_str()));
            ensure!(
                known.has_name(),
                "no dead letters of channel `{}`: {known}",
                printable(name)
            );
        }
        if let Some(key) = key {
            Key::new(key.as_str())?;
        }
        Ok(match (group, channel, kind, key) {
            (None, None, None, None) => "no dead letters",
            _ => "no such dead letters",
        })
    }
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
    /// Does something with each letter that is meant, oldest first or as they are named, until it is told to stop: what it
    /// has begun it ends.
    async fn each(
        &self,
        dead_letters: &DeadLetters,
        stop: Stop,
        mut action: impl AsyncFnMut(Letter) -> anyhow::Result<()>,
    ) -> anyhow::Result<Met> {
        let mut stop = pin!(stop);
        let mut met = Met::All;
        if self.sequences.is_empty() {
            let mut letters = dead_letters.letters(Filter::from(&self.filter)).await?;
            let mut found = false;
            loop {
                let letter = tokio::select! {
                    biased;
                    () = &mut stop => return stopped(),
                    letter = letters.next() => letter?,
                };
                let Some(letter) = letter else {
                    break;
                };
                found = true;
                action(letter).await?;
            }
            if !found {
                writeln!(io::stdout().lock(), "{}", self.filter.nothing()?)?;
            }
            return Ok(met);
        }
        there_are(dead_letters).await?;
        for &sequence in &self.sequences {
            let letter = tokio::select! {
                biased;
                () = &mut stop => return stopped(),
                letter = dead_letters.get(sequence) => letter?,
            };
            if let Some(letter) = letter {
                action(letter).await?;
            } else {
                writeln!(io::stdout().lock(), "#{sequence}: there is no such letter")?;
                met = Met::Some;
            }
        }
        Ok(met)
    }
}

/// Which of the letters that are meant were seen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    All,
    /// Not those that are not there.
    Some,
    /// Those up to a signal.
    Interrupted,
}

impl Met {
    fn exit_code(self, failed: usize) -> ExitCode {
        match self {
            Self::Interrupted => ExitCode::from(INTERRUPTED),
            Self::All if failed == 0 => ExitCode::SUCCESS,
            Self::All | Self::Some => ExitCode::FAILURE,
        }
    }
}

fn stopped() -> anyhow::Result<Met> {
    writeln!(
        io::stdout().lock(),
        "stopped: letters that are not named here are as they were"
    )?;
    Ok(Met::Interrupted)
}

/// Whoever asks for a letter by its number is told if there can be none.
async fn there_are(dead_letters: &DeadLetters) -> anyhow::Result<()> {
    dead_letters.letters(Filter::default()).await?;
    Ok(())
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

    #[test]
    fn name_that_no_line_has_is_told_from_one_without_letters() {
        let none = FilterArgs {
            group: None,
            channel: None,
            kind: None,
            key: None,
        };
        assert_eq!(none.nothing().unwrap(), "no dead letters");

        let [group, channel, key] = [
            ("tickets-service", "ticket-service"),
            ("ticket:created", "ticket.created"),
            ("0198", "a b"),
        ]
        .map(|(known, slip)| [known, slip].map(|name| Some(name.to_owned())));
        let asked = [
            group.map(|group| FilterArgs {
                group,
                ..none.clone()
            }),
            channel.map(|channel| FilterArgs {
                channel,
                ..none.clone()
            }),
            key.map(|key| FilterArgs {
                key,
                ..none.clone()
            }),
        ];
        for [known, slip] in asked {
            assert_eq!(known.nothing().unwrap(), "no such dead letters");
            assert!(slip.nothing().is_err(), "{slip:?}");
        }
    }
}
