//! `cargo xtask test`: all that the tests need, then the tests.

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context as _, anyhow};
use xtask::{
    RunId,
    nats_server::{self, NatsServer},
};

use super::{docker::Docker, engine, exit_code, foreign::Foreign};
use crate::Nats;

/// Sets up, tests, cleans up. The exit code is that of `cargo test`.
pub(crate) fn run(nats: Nats, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let foreign = if chooses_foreign(args) {
        Foreign::prepare()?
    } else {
        Foreign::default()
    };
    foreign.say();
    let done = run_with(nats, args, &foreign);
    foreign.say();
    done
}

fn run_with(nats: Nats, args: &[OsString], foreign: &Foreign) -> anyhow::Result<ExitCode> {
    let engine = match nats {
        Nats::Container => return in_containers(engine::find_or_start()?, args, foreign),
        Nats::Auto => engine::find_or_start(),
        Nats::Process => Err(anyhow!("as --nats process says")),
    };
    match engine {
        Ok(docker) => in_containers(docker, args, foreign),
        Err(why) => as_processes(&why, args, foreign),
    }
}

fn as_processes(
    why: &anyhow::Error,
    args: &[OsString],
    foreign: &Foreign,
) -> anyhow::Result<ExitCode> {
    let said =
        format!("xtask: the NATS servers of this run are processes, not containers: {why:#}");
    eprintln!("{said}");
    let server = nats_server::locate()?;
    let done = cargo_test(&server, args, foreign, &[("TEST_NATS", "process")]);
    eprintln!("{said}");
    done
}

fn in_containers(
    mut docker: Docker,
    args: &[OsString],
    foreign: &Foreign,
) -> anyhow::Result<ExitCode> {
    let server = nats_server::locate()?;
    let run_id = RunId::of_this_process();
    docker.remove_leftovers(&run_id)?;
    docker.guard(&run_id);
    let done = docker.server_image().and_then(|image| {
        cargo_test(
            &server,
            args,
            foreign,
            &[
                ("TEST_NATS", "container"),
                ("TEST_NATS_IMAGE", image),
                ("TEST_RUN_ID", &run_id.to_string()),
                ("DOCKER_HOST", docker.host()),
            ],
        )
    });
    // Whatever came of the tests: nothing of theirs is left running.
    let cleaned = docker
        .remove_leftovers(&run_id)
        .and_then(|()| docker.close());
    let code = done?;
    cleaned.context("the tests are over, but cleaning up after them failed")?;
    Ok(code)
}

fn cargo_test(
    server: &NatsServer,
    args: &[OsString],
    foreign: &Foreign,
    environment: &[(&str, &str)],
) -> anyhow::Result<ExitCode> {
    let mut cargo = super::cargo();
    cargo.args(["test", "--all-features", "--locked"]);
    if !names_packages(args) {
        cargo.arg("--workspace");
    }
    cargo
        .args(args)
        .env("NATS_SERVER", &server.path)
        .envs(foreign.environment())
        .envs(environment.iter().copied());
    super::run(&mut cargo).map(exit_code)
}

/// Whether the tests of other languages are among those that are chosen.
fn chooses_foreign(args: &[OsString]) -> bool {
    let chosen = |arg: &OsString| arg.to_string_lossy().ends_with("integration-tests");
    !names_packages(args) || args.iter().any(chosen)
}

/// Whether the arguments choose packages themselves: beside `--workspace`, cargo ignores the choice.
fn names_packages(args: &[OsString]) -> bool {
    args.iter()
        .map(|arg| arg.to_string_lossy())
        .take_while(|arg| arg != "--")
        .any(|arg| {
            arg.starts_with("--package") || (arg.starts_with("-p") && !arg.starts_with("--"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(args: &[&str], expected: bool) {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        assert_eq!(names_packages(&args), expected, "{args:?}");
    }

    #[test]
    fn chosen_packages_are_recognised() {
        check(&["-p", "common"], true);
        check(&["-pcommon"], true);
        check(&["--lib", "--package=common"], true);
        check(&[], false);
        check(&["--profile", "release"], false);
        check(&["name", "--", "-p"], false);
    }

    #[test]
    fn other_languages_are_prepared_for_the_tests_that_need_them() {
        #[track_caller]
        fn check(args: &[&str], expected: bool) {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            assert_eq!(chooses_foreign(&args), expected, "{args:?}");
        }
        check(&[], true);
        check(&["-p", "integration-tests", "--test", "it"], true);
        check(&["--package=integration-tests"], true);
        check(&["-p", "common"], false);
    }
}
