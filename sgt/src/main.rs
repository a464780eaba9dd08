//! `sgt`: the demo of the ticketing system, and its operator's tools.

mod connection;
mod dead_letters;
mod demo;
mod market;
mod name;
mod permissions;
mod provision;
mod soak;
mod token;

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// As a shell reports a process that was ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Runs the ticketing system as a demo, prepares what its services need, and sees to what they could not handle.
#[derive(Debug, Parser)]
#[command(name = "sgt", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    DeadLetters(dead_letters::Args),
    Demo(demo::Args),
    Permissions(permissions::Args),
    Provision(provision::Args),
    Soak(soak::Args),
    Token(token::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse_from(without_separator(env::args_os()));
    let outcome = match &cli.command {
        Command::DeadLetters(args) => dead_letters::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Permissions(args) => permissions::run(args),
        Command::Provision(args) => provision::run(args),
        Command::Soak(args) => soak::run(args),
        Command::Token(args) => token::run(args),
    };
    outcome.unwrap_or_else(|err| {
        let kind = err.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::BrokenPipe) {
            // Whoever reads has seen enough, as `| head` does.
            return ExitCode::FAILURE;
        }
        eprintln!("error: {err:#}");
        ExitCode::FAILURE
    })
}

/// Takes the `--` away that follows the command in `cargo demo -- --keep`: the alias ends with a
/// command already, so that cargo passes it on.
fn without_separator(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments
        .enumerate()
        .filter(|(nth, argument)| *nth != 2 || argument != "--")
        .map(|(_, argument)| argument)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(without_separator(line.split(' ').map(OsString::from)))
    }

    #[test]
    fn command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn separator_after_the_command_makes_no_difference() {
        for line in ["sgt demo --keep --seed 3", "sgt demo -- --keep --seed 3"] {
            let Command::Demo(args) = parse(line).unwrap().command else {
                panic!("{line} is no demo");
            };
            assert!(args.is_kept_up(), "{line}");
        }
        assert!(parse("sgt demo --").is_ok());
        assert!(parse("sgt demo -- -- --keep").is_err());
        assert!(parse("sgt demo --keep -- extra").is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "sgt",
            "sgt demo --tickets 0",
            "sgt demo --buyers -1",
            "sgt demo --seed x",
            "sgt demo --ttl 5",
            "sgt demo --ttl 0s",
            "sgt demo extra",
            "sgt provision --replicas 2",
            "sgt soak --minutes 0",
            "sgt soak --minutes 1441",
            "sgt soak --seed x",
            "sgt soak --json --brief",
            "sgt token",
            "sgt permissions",
            "sgt permissions nobody",
            "sgt permissions tickets-service --all",
            "sgt dead-letters redrive",
            "sgt dead-letters redrive 1 --all",
            "sgt dead-letters redrive 1 --group a",
            "sgt dead-letters redrive --all --rate 0",
            "sgt dead-letters list --kind gone",
            "sgt dead-letters drop",
            "sgt dead-letters drop 1 --as-version 2",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
