//! `cargo xtask ci`: every check, the quick ones first and the tests last.
//!
//! Left out until something is released: `cargo-semver-checks` on `common`, because there is nothing
//! to compare with.

use std::{
    env,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use xtask::command;

use super::{
    cargo, run as run_command, test,
    tool::{self, Tool},
};
use crate::Nats;

/// The features of `common` that are checked one set at a time; the other checks have all of them on.
///
/// Each alone, because one that works only by another's help is found there, and the pairs of which one
/// has code for the other. `sql` is what both databases share, and nothing by itself.
const FEATURE_SETS: &[&str] = &[
    "",
    "testing",
    "http",
    "sqlite",
    "postgres",
    "sqlite,postgres",
    "sqlite,http",
    "sqlite,testing",
    "postgres,testing",
    "http,testing",
];

/// Runs the checks; the exit code is that of the tests.
pub(crate) fn run(nats: Nats) -> anyhow::Result<ExitCode> {
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    spelling()?;
    dependencies()?;
    step(
        "clippy",
        cargo()
            .args(["clippy", "--workspace", "--all-targets", "--all-features"])
            .args(["--locked", "--", "-D", "warnings"]),
    )?;
    for features in FEATURE_SETS {
        let name = match *features {
            "" => "common without features".to_owned(),
            features => format!("common with {features}"),
        };
        // Clippy and not check: what a missing feature leaves unused is a warning only.
        step(
            &name,
            cargo()
                .args(["clippy", "-p", "common", "--no-default-features"])
                .args(["--features", features])
                .args(["--locked", "--", "-D", "warnings"]),
        )?;
    }
    step(
        "documentation",
        cargo()
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--all-features",
                "--locked",
            ])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    // Without the fuzzer, which is C++: that they compile. Their corpus is replayed by the tests of `common`.
    step(
        "fuzz targets",
        cargo()
            .args(["clippy", "--manifest-path", "fuzz/Cargo.toml"])
            .args(["--target-dir", "target", "--no-default-features"])
            .args(["--locked", "--", "-D", "warnings"]),
    )?;
    step(
        "schemas",
        cargo().args(["run", "-p", "schemas", "--locked", "--", "check"]),
    )?;
    step(
        "compatibility with the released schemas",
        cargo().args(["run", "-p", "schemas", "--locked", "--", "compat"]),
    )?;
    // As whoever reads the README types it; how it ends when it goes wrong is for the tests.
    step(
        "demo",
        cargo().args(["--locked", "demo", "--tickets", "20", "--json"]),
    )?;
    // Always the same faults; longer, and with other seeds, it is for whoever has the time.
    step(
        "soak",
        cargo().args([
            "--locked",
            "xtask",
            "soak",
            "--minutes",
            "1",
            "--seed",
            "1",
            "--brief",
        ]),
    )?;

    // Last, and nothing after them on success: the output ends with what the test runner prints.
    eprintln!("ci: tests: the same as `cargo xtask test`");
    test::run(nats, &[])
}

fn spelling() -> anyhow::Result<()> {
    let Some(mut typos) = find(&tool::TYPOS)? else {
        return Ok(());
    };
    step("spelling", typos.current_dir(super::workspace()))
}

fn dependencies() -> anyhow::Result<()> {
    let Some(mut deny) = find(&tool::CARGO_DENY)? else {
        return Ok(());
    };
    let program = deny.get_program().to_owned();
    step(
        "licences, bans, sources",
        deny.current_dir(super::workspace())
            .args(["--locked", "check", "--allow", "unused-wrapper"])
            .args(["licenses", "bans", "sources"]),
    )?;

    // The list of known weaknesses is a git repository, which not every network lets through.
    let mut fetch = Command::new(&program);
    fetch.current_dir(super::workspace()).args(["fetch", "db"]);
    let fetched = command::run(&mut fetch, Duration::from_mins(2));
    if !fetched.is_ok_and(|done| done.status.success()) {
        eprintln!("ci: advisories: left out, their database cannot be had here");
        return Ok(());
    }
    step(
        "advisories",
        Command::new(program).current_dir(super::workspace()).args([
            "--locked",
            "--offline",
            "check",
            "advisories",
        ]),
    )
}

/// A tool ready to be given arguments. `None`, with a word about it, if it is missing and this is
/// not CI.
fn find(tool: &Tool) -> anyhow::Result<Option<Command>> {
    let (program, line) = (tool.program, tool.install_line);
    match tool.find() {
        Ok(path) => Ok(Some(Command::new(path))),
        Err(error) if env::var_os("CI").is_some() => {
            Err(error).with_context(|| format!("{program} is missing; install it: {line}"))
        }
        Err(error) => {
            eprintln!("ci: {program} is missing ({error:#}): left out; install it: {line}");
            Ok(None)
        }
    }
}

/// Runs one check and says in one line how it went.
fn step(name: &str, command: &mut Command) -> anyhow::Result<()> {
    let begun = Instant::now();
    let status = run_command(command).with_context(|| format!("the check {name}"))?;
    let seconds = begun.elapsed().as_secs_f32();
    if !status.success() {
        let again = command_line(command);
        bail!("{name}: failed after {seconds:.1} s; run it alone: {again}");
    }
    eprintln!("ci: {name}: ok, {seconds:.1} s");
    Ok(())
}

/// The command as one would type it.
fn command_line(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)))
        .map(|(name, value)| format!("{}={}", name.display(), quote(&value.to_string_lossy())));
    let program = command.get_program();
    // The cargo that runs us is named by its whole path, which nobody types.
    let program = if cargo().get_program() == program {
        "cargo".to_owned()
    } else {
        quote(&program.to_string_lossy())
    };
    let arguments = command
        .get_args()
        .map(|argument| quote(&argument.to_string_lossy()));
    let words: Vec<_> = variables.chain([program]).chain(arguments).collect();
    words.join(" ")
}

fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:,+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_to_repeat_can_be_pasted() {
        let mut command = cargo();
        command
            .args(["doc", "--features", "", "--", "it's"])
            .env("RUSTDOCFLAGS", "-D warnings");

        assert_eq!(
            command_line(&command),
            r"RUSTDOCFLAGS='-D warnings' cargo doc --features '' -- 'it'\''s'"
        );
    }

    #[cfg(unix)]
    #[test]
    fn failing_check_names_the_command() {
        let error = step("colours", Command::new("false").arg("--red")).unwrap_err();

        let text = format!("{error:#}");
        assert!(text.contains("colours: failed"), "{text}");
        assert!(text.ends_with("run it alone: false --red"), "{text}");
    }
}
