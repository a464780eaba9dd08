//! `cargo run -p schemas -- <command>`: the schemas of the events.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use common::Subjects;
use common::testing::sample;
use schemas::{Difference, Documents, compare, documents, list_all, list_service, write};

/// The schemas of the events: one JSON Schema per event and form, made from the Rust types.
#[derive(Debug, Parser)]
#[command(name = "schemas", version)]
struct Arguments {
    /// The folder of the generated files.
    #[arg(long, global = true, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/generated"), hide_default_value = true)]
    folder: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the files as the types say.
    Generate,
    /// Compares the files with the types; if they differ, prints how, and exits with 1.
    Check,
    /// Prints every event with its form, stream, publisher and queue groups.
    List {
        /// Only what this service publishes and listens to.
        #[arg(long)]
        service: Option<String>,
    },
}

fn main() -> ExitCode {
    run(Arguments::parse()).unwrap_or_else(|err| {
        eprintln!("error: {err:#}");
        ExitCode::FAILURE
    })
}

fn run(Arguments { folder, command }: Arguments) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match command {
        Command::Generate => {
            let documents = present()?;
            let written = write(&documents, &folder)?;
            for path in &written {
                writeln!(out, "wrote {path}")?;
            }
            writeln!(
                out,
                "{} of {} files changed",
                written.len(),
                documents.len()
            )?;
            for (path, difference) in
                compare(&documents, &folder).context("written files could not be read")?
            {
                writeln!(out, "{path} {difference}")?;
            }
        }
        Command::Check => {
            let documents = present()?;
            let differences = compare(&documents, &folder)
                .with_context(|| format!("{} could not be read", folder.display()))?;
            if !differences.is_empty() {
                for (path, difference) in &differences {
                    writeln!(out, "{path} {difference}")?;
                }
                writeln!(out, "{}", advice(differences.values()))?;
                return Ok(ExitCode::FAILURE);
            }
            writeln!(out, "{} files are what the types say", documents.len())?;
        }
        Command::List { service: None } => write!(out, "{}", list_all::<Subjects>())?,
        Command::List {
            service: Some(name),
        } => write!(out, "{}", list_service::<Subjects>(&name)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn present() -> anyhow::Result<Documents> {
    Ok(documents(|subject| Some(sample::example(subject)))?)
}

fn advice<'d>(mut differences: impl Iterator<Item = &'d Difference>) -> &'static str {
    if differences.any(|difference| matches!(difference, Difference::Meaning { .. })) {
        "The types have changed. If every reader can live with that, run `cargo run -p schemas -- generate` and commit; \
         if not, the earlier form stays as a type in `Event::PAST`."
    } else {
        "Run `cargo run -p schemas -- generate` and commit."
    }
}
