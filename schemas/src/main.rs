//! `cargo run -p schemas -- <command>`: the schemas of the events.

use std::env;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use common::Subjects;
use common::testing::sample;
use schemas::{
    Difference, Documents, PAGE, TYPESCRIPT, TypeScriptError, asyncapi, compare, documents,
    list_all, list_service, site, typescript, write,
};

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
    /// Builds the catalogue, a folder whose page a browser opens from the disk.
    Site {
        /// The folder.
        #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/catalogue"), hide_default_value = true)]
        out: PathBuf,
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
            let Generated {
                documents,
                left_out,
            } = present()?;
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
                if left_out.is_none() || !path.starts_with(TYPESCRIPT) {
                    writeln!(out, "{path} {difference}")?;
                }
            }
            if let Some(why) = left_out {
                return Err(why).context("the TypeScript is as it was, all else is written");
            }
        }
        Command::Check => {
            let Generated {
                documents,
                left_out,
            } = present()?;
            let mut differences = compare(&documents, &folder)
                .with_context(|| format!("{} could not be read", folder.display()))?;
            if let Some(why) = left_out {
                if env::var_os("CI").is_some() {
                    return Err(why).context("the TypeScript was not checked");
                }
                differences.retain(|path, _| !path.starts_with(TYPESCRIPT));
                let why = anyhow::Error::from(why);
                eprintln!("schemas: left out: the TypeScript is not checked: {why:#}");
            }
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
        Command::Site { out: folder } => {
            write(&site::<Subjects>(&without_typescript()?), &folder)?;
            let page = folder.join(PAGE);
            let page = page.canonicalize().unwrap_or(page);
            writeln!(out, "{}", page.display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All that can be generated here.
struct Generated {
    documents: Documents,
    /// Why there is no TypeScript among them.
    left_out: Option<TypeScriptError>,
}

fn present() -> anyhow::Result<Generated> {
    let mut documents = without_typescript()?;
    let left_out = match typescript::<Subjects>() {
        Ok(types) => {
            documents.extend(types);
            None
        }
        Err(why) => Some(why),
    };
    Ok(Generated {
        documents,
        left_out,
    })
}

/// What needs no Node.
fn without_typescript() -> anyhow::Result<Documents> {
    let mut documents = documents(|subject| Some(sample::example(subject)))?;
    documents.extend(asyncapi::<Subjects>(&documents));
    Ok(documents)
}

fn advice<'d>(mut differences: impl Iterator<Item = &'d Difference>) -> &'static str {
    if differences.any(|difference| matches!(difference, Difference::Meaning { .. })) {
        "The types have changed. If every reader can live with that, run `cargo run -p schemas -- generate` and commit; \
         if not, the earlier form stays as a type in `Event::PAST`."
    } else {
        "Run `cargo run -p schemas -- generate` and commit."
    }
}
