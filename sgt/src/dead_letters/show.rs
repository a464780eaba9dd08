use std::borrow::Cow;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use common::dead_letters::{DeadLetters, Holds, Letter, Origin};
use serde_json::{Value, json};

use super::{Name, kind, printable, there_are};

/// Show all that is known of one letter, the payload as text if it is JSON.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sgt dead-letters show 7
  sgt dead-letters show 7 --json | jq .payload")]
pub(super) struct Args {
    /// The letter's number, as `list` shows it
    sequence: u64,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, dead_letters: &DeadLetters) -> anyhow::Result<ExitCode> {
    let Args { sequence, json } = *args;
    there_are(dead_letters).await?;
    let letter = dead_letters.get(sequence).await?;
    let letter = letter.with_context(|| format!("there is no dead letter #{sequence}"))?;
    let payload = payload(dead_letters, &letter).await;
    let mut stdout = io::stdout().lock();
    if json {
        writeln!(stdout, "{}", to_json(&letter, &payload))?;
    } else {
        write_text(&mut stdout, &letter, &payload)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The original's payload, or why there is none.
async fn payload<'l>(
    dead_letters: &DeadLetters,
    letter: &'l Letter,
) -> Result<Cow<'l, [u8]>, String> {
    match (letter.original_payload(), letter.holds) {
        (Some(payload), _) => Ok(payload),
        (None, Holds::Encoded) => Err("the letter's own form is broken".to_owned()),
        (None, Holds::Everything | Holds::Headers | Holds::Nothing) => {
            match dead_letters.original(letter).await {
                Ok(original) => Ok(Cow::Owned(original)),
                Err(err) => Err(err.to_string()),
            }
        }
    }
}

fn to_json(letter: &Letter, payload: &Result<Cow<'_, [u8]>, String>) -> Value {
    let origin = letter.origin.as_ref().map(|origin| {
        json!({ "stream": origin.stream, "sequence": origin.sequence, "storedAt": origin.stored_at })
    });
    let headers: Vec<_> = letter.headers.iter().collect();
    let payload = payload.as_ref().ok().map(|payload| {
        serde_json::from_slice(payload)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(payload)))
    });
    json!({
        "sequence": letter.sequence,
        "group": letter.group,
        "channel": letter.channel,
        "key": letter.key,
        "kind": kind(letter),
        "reason": letter.reason,
        "attempts": letter.attempts,
        "redrives": letter.redrives,
        "origin": origin,
        "diedAt": letter.died_at,
        "headers": headers,
        "payload": payload,
    })
}

fn write_text(
    out: &mut impl io::Write,
    letter: &Letter,
    payload: &Result<Cow<'_, [u8]>, String>,
) -> io::Result<()> {
    writeln!(out, "{}", Name(letter))?;
    writeln!(out, "kind      {}", kind(letter))?;
    writeln!(out, "reason    {}", printable(&letter.reason))?;
    writeln!(out, "attempts  {}", letter.attempts)?;
    writeln!(out, "redrives  {}", letter.redrives)?;
    match &letter.origin {
        Some(Origin {
            stream,
            sequence,
            stored_at,
        }) => {
            let stored_at = stored_at.map_or("gone by now".to_owned(), |at| format!("stored {at}"));
            writeln!(
                out,
                "origin    {} #{sequence}, {stored_at}",
                printable(stream)
            )?;
        }
        None => writeln!(out, "origin    the letter does not say")?,
    }
    writeln!(out, "died      {}", letter.died_at)?;
    let mut headers: Vec<_> = letter.headers.iter().collect();
    headers.sort_unstable();
    for (name, value) in headers {
        writeln!(out, "header    {}: {}", printable(name), printable(value))?;
    }
    match payload {
        Ok(payload) => writeln!(out, "payload   {}", payload_text(payload)),
        Err(reason) => writeln!(out, "payload   not here: {}", printable(reason)),
    }
}

/// JSON as it is; of anything else, how much there is of it and what can be shown.
fn payload_text(payload: &[u8]) -> String {
    match serde_json::from_slice::<Value>(payload) {
        Ok(_) => printable(&String::from_utf8_lossy(payload)),
        Err(_) => format!(
            "{} bytes that are no JSON: {}",
            payload.len(),
            payload.escape_ascii()
        ),
    }
}
