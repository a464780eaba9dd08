//! `cargo xtask test`: all that the tests need, then the tests.

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context as _, anyhow};
use xtask::{
    RunId,
    nats_server::{self, NatsServer},
};

use super::{docker::Docker, engine, exit_code};
use crate::Nats;

/// Sets up, tests, cleans up. The exit code is that of `cargo test`.
pub(crate) fn run(nats: Nats, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let engine = match nats {
        Nats::Container => return in_containers(engine::find_or_start()?, args),
        Nats::Auto => engine::find_or_start(),
        Nats::Process => Err(anyhow!("as --nats process says")),
    };
    match engine {
        Ok(docker) => in_containers(docker, args),
        Err(why) => as_processes(&why, args),
    }
}

fn as_processes(why: &anyhow::Error, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let said =
        format!("xtask: the NATS servers of this run are processes, not containers: {why:#}");
    eprintln!("{said}");
    let server = nats_server::locate()?;
    let done = cargo_test(&server, args, &[("TEST_NATS", "process")]);
    eprintln!("{said}");
    done
}

fn in_containers(mut docker: Docker, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let server = nats_server::locate()?;
    let run_id = RunId::of_this_process();
    docker.remove_leftovers(&run_id)?;
    docker.guard(&run_id);
    let done = docker.server_image().and_then(|image| {
        cargo_test(
            &server,
            args,
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
        .envs(environment.iter().copied());
    super::run(&mut cargo).map(exit_code)
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
}
