use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use common::dead_letters::{DeadLetters, Letter};
use common::http::Stop;
use common::{Carries, Contract, Database, Key, QueueGroup, SubjectSet as _, Subjects, Version};

use super::{Name, Selection};

/// Drop letters for good: their events will not reach the group that failed.
///
/// Dropping an event that carries a version does not pass over the version: the group holds what comes after it. After
/// five minutes it takes the next event that carries the whole state as a new start, and gives up any other
/// (predecessor-missing). --skip passes over the version first, so that its successors follow within ten seconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sgt dead-letters drop 7
  sgt dead-letters drop --group orders-service --kind undecodable --yes
  sgt dead-letters drop 7 --skip sqlite://data/orders-service.db
  sgt dead-letters drop 7 --skip sqlite://data/orders-service.db --as-version 3")]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Drop what the filters or --all name; without it, they are only shown
    #[arg(long)]
    yes: bool,

    /// The database of the group that failed: pass over the event's version there, then drop the letter
    #[arg(long, value_name = "DATABASE_URL")]
    skip: Option<String>,

    /// The version to pass over, where the letter's event cannot be decoded
    #[arg(long, value_name = "NUMBER", requires = "skip", value_parser = parse_version)]
    as_version: Option<Version>,
}

fn parse_version(text: &str) -> anyhow::Result<Version> {
    Ok(Version::try_from(text.parse::<u64>()?)?)
}

pub(super) async fn run(
    args: &Args,
    dead_letters: &DeadLetters,
    stop: Stop,
) -> anyhow::Result<ExitCode> {
    if args.as_version.is_some() && args.selection.sequences.len() != 1 {
        bail!("--as-version is for one letter: name its number");
    }
    let database = match &args.skip {
        Some(url) => Some(open(url).await.context("--skip")?),
        None => None,
    };
    let confirmed = args.yes || !args.selection.sequences.is_empty();
    let (mut dropped, mut failed) = (0, 0);
    let met = args
        .selection
        .each(dead_letters, stop, async |letter| {
            let said = if confirmed {
                match discard(args, dead_letters, database.as_ref(), &letter).await {
                    Ok(said) => {
                        dropped += 1;
                        said
                    }
                    Err(err) => {
                        failed += 1;
                        format!("not dropped: {err:#}")
                    }
                }
            } else {
                failed += 1;
                format!("would be dropped{}", consequence(&letter))
            };
            writeln!(io::stdout().lock(), "{}: {said}", Name(&letter))?;
            Ok(())
        })
        .await;
    // What was done is said also if it broke off.
    if met.is_err() && dropped + failed == 0 {
        return met.map(|_| ExitCode::FAILURE);
    }
    let mut stdout = io::stdout().lock();
    if confirmed {
        write!(stdout, "{dropped} dropped")?;
        if failed > 0 {
            write!(stdout, ", {failed} not")?;
        }
        writeln!(stdout)?;
    } else {
        writeln!(
            stdout,
            "{failed} would be dropped; nothing is without --yes"
        )?;
    }
    Ok(met?.exit_code(failed))
}

/// Opens a database that is there: a misspelled file would be created, and its versions are nobody's.
async fn open(url: &str) -> anyhow::Result<Database> {
    if let Some(file) = url.strip_prefix("sqlite:") {
        let file = file.trim_start_matches("//");
        let file = file.split_once('?').map_or(file, |(file, _)| file);
        if !Path::new(file).exists() {
            bail!("there is no database {file}");
        }
    }
    Ok(Database::connect(url).await?)
}

async fn discard(
    args: &Args,
    dead_letters: &DeadLetters,
    database: Option<&Database>,
    letter: &Letter,
) -> anyhow::Result<String> {
    let skipped = match database {
        Some(database) => {
            let version = match args.as_version {
                Some(version) => version,
                None => version(dead_letters, letter).await?,
            };
            skip(database, letter, version).await?;
            format!(", and version {version} is passed over")
        }
        None => consequence(letter),
    };
    Ok(if dead_letters.discard(letter).await? {
        format!("dropped{skipped}")
    } else {
        format!("was not there any more{skipped}")
    })
}

/// The version of the letter's event.
async fn version(dead_letters: &DeadLetters, letter: &Letter) -> anyhow::Result<Version> {
    const HINT: &str = "its version cannot be read; name it with --as-version";
    let redrive = dead_letters.prepare(letter).await.context(HINT)?;
    let decoded = redrive.decode::<Subjects>().context(HINT)?;
    decoded.version.context("its event carries no version")
}

async fn skip(database: &Database, letter: &Letter, version: Version) -> anyhow::Result<()> {
    let (Some(subject), Some(key)) = (subject(letter), &letter.key) else {
        bail!("it is no event of this version's list");
    };
    let group = group(&letter.group).context("its group is on no line of the list")?;
    let key = Key::new(key.as_str())?;
    let skipped = database
        .skip_version(group, subject.stream(), &key, version)
        .await
        .context("database of the group")?;
    if !skipped {
        bail!(
            "{group} does not wait for version {version} of {key}: it has passed it, or waits for an earlier one; \
             without --skip the letter is dropped all the same"
        );
    }
    Ok(())
}

/// What dropping means for those that come after it.
fn consequence(letter: &Letter) -> String {
    let Some(contract) = subject(letter).map(Contract::of) else {
        return String::new();
    };
    if !contract.versioned {
        return String::new();
    }
    let then = match contract.carries {
        Carries::WholeState => "takes the next one as a new start",
        Carries::Change => "gives up the next one too (predecessor-missing)",
    };
    let group = &letter.group;
    format!(
        "; its version is not passed over: if {group} reads every version, it holds what comes after it, and {then} after \
         five minutes (--skip passes over it)"
    )
}

fn subject(letter: &Letter) -> Option<Subjects> {
    letter.channel.as_deref()?.parse().ok()
}

fn group(name: &str) -> Option<QueueGroup> {
    let mut groups = Subjects::ALL.iter().flat_map(|subject| subject.consumers());
    groups.find(|group| group.as_str() == name).copied()
}
