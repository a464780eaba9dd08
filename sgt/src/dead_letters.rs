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
    /// Where no letter is meant: says if that is no wonder.
    fn say_slips(&self) {
        for slip in self.slips() {
            eprintln!("{slip}");
        }
    }

    /// Names that our list does not have. No errors: a server can carry letters of other lists too.
    fn slips(&self) -> Vec<String> {
        let Self {
            group,
            channel,
            kind: _,
            key,
        } = self;
        let groups: BTreeSet<_> = Subjects::ALL
            .iter()
            .flat_map(|subject| subject.consumers())
            .map(|group| group.as_str())
            .collect();
        let channels: Vec<_> = Subjects::ALL
            .iter()
            .map(|subject| subject.as_str())
            .collect();
        let mut slips = Vec::new();
        for (what, name, all) in [
            ("group", group, groups.into_iter().collect()),
            ("channel", channel, channels),
        ] {
            let Some(name) = name else {
                continue;
            };
            let known = Known::new(name, all);
            if !known.has_name() {
                let name = printable(name);
                slips.push(format!("this version knows no {what} `{name}`: {known}"));
            }
        }
        let key = key.as_deref().map(Key::new);
        slips.extend(key.and_then(Result::err).map(|err| err.to_string()));
        slips
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
                self.filter.say_slips();
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
    fn name_that_our_list_does_not_have_is_told() {
        #[track_caller]
        fn check(set: fn(&mut FilterArgs), slip: Option<&str>) {
            let mut filter = FilterArgs {
                group: None,
                channel: None,
                kind: None,
                key: None,
            };
            set(&mut filter);
            let slips = filter.slips();
            match slip {
                None => assert!(slips.is_empty(), "{slips:?}"),
                Some(slip) => assert!(slips[0].contains(slip), "{slips:?}"),
            }
        }
        check(|_| {}, None);
        check(|filter| filter.group = Some("tickets-service".into()), None);
        check(
            |filter| filter.group = Some("ticket-service".into()),
            Some("no group `ticket-service`: did you mean `tickets-service`?"),
        );
        check(
            |filter| filter.channel = Some("ticket:created".into()),
            None,
        );
        check(
            |filter| filter.channel = Some("ticket.created".into()),
            Some("no channel `ticket.created`: did you mean `ticket:created`?"),
        );
        check(|filter| filter.key = Some("0198".into()), None);
        check(|filter| filter.key = Some("a b".into()), Some("is no key"));
    }
}
