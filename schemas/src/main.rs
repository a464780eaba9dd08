//! `cargo run -p schemas -- <command>`: the schemas of the events.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use common::Subjects;
use common::testing::sample;
use schemas::compat::{self, Reader, Report};
use schemas::released::{self, BaselineError, State};
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
    /// Judges the list against the released one; if readers break, prints which and what to do, and exits with 1.
    Compat(CompatArguments),
    /// Makes the present list the released one, which later ones are judged against.
    Release {
        #[command(flatten)]
        released: Released,
        /// Also if readers of the released one break.
        #[arg(long)]
        accept_breaks: bool,
    },
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

#[derive(Debug, Args)]
struct Released {
    /// The folder of the released schemas.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/released"), hide_default_value = true)]
    released: PathBuf,
}

#[derive(Debug, Args)]
struct CompatArguments {
    #[command(flatten)]
    released: Released,
    /// Judge this schema, or folder of schemas, instead of the list; with --new.
    #[arg(long, requires = "new", conflicts_with = "released")]
    old: Option<PathBuf>,
    /// What to judge it against.
    #[arg(long, requires = "old")]
    new: Option<PathBuf>,
    /// How the readers of --old and --new read.
    #[arg(long, value_enum, default_value_t, requires = "old")]
    reader: ReaderArgument,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ReaderArgument {
    /// Unknown fields are ignored, defaults and nulls fill what is missing.
    #[default]
    Serde,
    /// Unknown fields are refused, nothing is filled in.
    Strict,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

fn main() -> ExitCode {
    run(Arguments::parse()).unwrap_or_else(|err| {
        eprintln!("error: {err:#}");
        // As clap does for wrong arguments; 1 is for what was judged and found wanting.
        ExitCode::from(2)
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
        Command::Compat(arguments) => {
            let report = judge(&arguments)?;
            print(&mut out, &report, arguments.format)?;
            if !report.is_compatible() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Release {
            released: Released { released },
            accept_breaks,
        } => return release(&mut out, &released, accept_breaks),
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

fn judge(arguments: &CompatArguments) -> anyhow::Result<Report> {
    let reader = match arguments.reader {
        ReaderArgument::Serde => Reader::Serde,
        ReaderArgument::Strict => Reader::Strict,
    };
    Ok(match (&arguments.old, &arguments.new) {
        (Some(old), Some(new)) => compat::compare_files(old, new, reader)?,
        _ => compat::against_release::<Subjects>(&State::read(&arguments.released.released)?),
    })
}

fn print(out: &mut impl io::Write, report: &Report, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Text => write!(out, "{report}")?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(report)?)?,
    }
    Ok(())
}

fn release(
    out: &mut impl io::Write,
    folder: &Path,
    accept_breaks: bool,
) -> anyhow::Result<ExitCode> {
    match State::read(folder) {
        Err(BaselineError::Missing(_)) => writeln!(out, "the first release")?,
        released => {
            let report = compat::against_release::<Subjects>(&released?);
            write!(out, "{report}")?;
            if !report.is_compatible() && !accept_breaks {
                writeln!(
                    out,
                    "Not released. If the breaks are meant, say in CHANGELOG.md what readers have to do, and run `release --accept-breaks`."
                )?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    let state = State::present::<Subjects>();
    let files = state.to_documents(&json_schemas()?)?;
    let replaced = released::replace(&files, folder)?;
    for path in replaced.written {
        writeln!(out, "wrote {path}")?;
    }
    for path in replaced.removed {
        writeln!(out, "removed {path}, which this release has not")?;
    }
    for path in replaced.foreign {
        writeln!(out, "left {path}, which no release wrote")?;
    }
    writeln!(
        out,
        "released {} with {} events",
        state.release,
        state.events.len()
    )?;
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
    let mut documents = json_schemas()?;
    documents.extend(asyncapi::<Subjects>(&documents));
    Ok(documents)
}

/// One JSON Schema per event and form.
fn json_schemas() -> anyhow::Result<Documents> {
    Ok(documents(|subject| Some(sample::example(subject)))?)
}

fn advice<'d>(differences: impl Iterator<Item = &'d Difference> + Clone) -> &'static str {
    let (mut each, mut only) = (differences.clone(), differences);
    if each.any(|difference| matches!(difference, Difference::Meaning { .. })) {
        "If the types have changed, `cargo run -p schemas -- compat` says whether every reader can live with that: \
         if so, run `cargo run -p schemas -- generate` and commit; if not, the earlier form stays as a type in `Event::PAST`. \
         If a file was edited by hand, `generate` writes it as it was."
    } else if only.all(|difference| *difference == Difference::Extra) {
        "Remove what belongs to no event, and commit."
    } else {
        "Run `cargo run -p schemas -- generate` and commit."
    }
}
