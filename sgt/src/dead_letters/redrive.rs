use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use common::dead_letters::{DeadLetters, Letter, RedriveError, Redriven};
use common::http::Stop;
use common::{Chain, Subjects};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Name, PARK_AT, Selection};
use crate::name::parse_some;

/// Send letters again, each to the queue group that failed and to no other.
///
/// The copy is the same event (`ce-id`) and the letter goes when the server has acknowledged the copy; to repeat a redrive
/// that broke off doubles nothing. What was sent again before and died again is parked: it stays, unless --parked.
/// The exit code is 1 if a letter could not be sent.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sgt dead-letters redrive 7 9
  sgt dead-letters redrive --group orders-service --channel ticket:updated --dry-run
  sgt dead-letters redrive --all --rate 10")]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// At most so many a second
    #[arg(long, value_name = "NUMBER", value_parser = parse_some::<NonZeroU32>)]
    rate: Option<NonZeroU32>,

    /// Send nothing; say of each what would happen, by the types of this version
    #[arg(long)]
    dry_run: bool,

    /// Also those that are parked
    #[arg(long)]
    parked: bool,

    /// How often a letter must have been sent again to be parked
    #[arg(long, value_name = "NUMBER", default_value_t = PARK_AT, value_parser = clap::value_parser!(u32).range(1..))]
    park_at: u32,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    sent: usize,
    parked: usize,
    failed: usize,
}

pub(super) async fn run(
    args: &Args,
    dead_letters: &DeadLetters,
    stop: Stop,
) -> anyhow::Result<ExitCode> {
    let mut pace = args.rate.map(pace);
    let mut count = Count::default();
    let met = args
        .selection
        .each(dead_letters, stop, async |letter| {
            let said = args
                .see_to(dead_letters, &letter, &mut pace, &mut count)
                .await;
            writeln!(io::stdout().lock(), "{}: {said}", Name(&letter))?;
            Ok(())
        })
        .await;
    // What was done is said also if it broke off.
    if met.is_err() && count == Count::default() {
        return met.map(|_| ExitCode::FAILURE);
    }
    let mut stdout = io::stdout().lock();
    let Count {
        sent,
        parked,
        failed,
    } = count;
    let sent_word = if args.dry_run {
        "would be sent"
    } else {
        "sent"
    };
    write!(stdout, "{sent} {sent_word}")?;
    if parked > 0 {
        write!(stdout, ", {parked} parked (--parked sends them too)")?;
    }
    if failed > 0 {
        write!(stdout, ", {failed} failed")?;
    }
    writeln!(stdout)?;
    Ok(met?.exit_code(failed))
}

/// The first at once, and no burst after a delay.
fn pace(rate: NonZeroU32) -> Interval {
    let mut pace = interval(Duration::from_secs(1) / rate.get());
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

impl Args {
    /// Sends the letter, or says what would happen.
    async fn see_to(
        &self,
        dead_letters: &DeadLetters,
        letter: &Letter,
        pace: &mut Option<Interval>,
        count: &mut Count,
    ) -> String {
        if !self.parked && letter.is_parked_at(self.park_at) {
            count.parked += 1;
            return format!(
                "parked, for it was sent again {} before and died again",
                times(letter.redrives)
            );
        }
        let outcome = if self.dry_run {
            rehearse(dead_letters, letter).await
        } else {
            if let Some(pace) = pace {
                pace.tick().await;
            }
            send(dead_letters, letter).await
        };
        match outcome {
            Ok(said) => {
                count.sent += 1;
                said
            }
            Err(err) => {
                count.failed += 1;
                format!("not sent: {}", Chain(&err))
            }
        }
    }
}

async fn send(dead_letters: &DeadLetters, letter: &Letter) -> Result<String, RedriveError> {
    let redrive = dead_letters.prepare(letter).await?;
    Ok(match dead_letters.redrive(&redrive).await? {
        Redriven::Sent { sequence } => {
            format!("sent to `{}` (sequence {sequence})", redrive.subject())
        }
        Redriven::SentBefore => "was sent before; the letter is removed now".to_owned(),
    })
}

async fn rehearse(dead_letters: &DeadLetters, letter: &Letter) -> Result<String, RedriveError> {
    let redrive = dead_letters.prepare(letter).await?;
    let subject = redrive.subject();
    Ok(match redrive.decode::<Subjects>() {
        Ok(decoded) => match decoded.version {
            Some(version) => format!("would be sent to `{subject}`, version {version}"),
            None => format!("would be sent to `{subject}`"),
        },
        Err(err) => format!("would be sent to `{subject}`, and die again: {err}"),
    })
}

fn times(number: u32) -> String {
    match number {
        1 => "once".to_owned(),
        number => format!("{number} times"),
    }
}
