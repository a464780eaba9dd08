//! `cargo xtask soak`: builds the programs, and lets `sgt soak` do everything else.

use std::{
    env,
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, ensure};

use super::{cargo, exit_code, run as run_command};

/// Those that the soak runs, and the one that runs it.
const PROGRAMS: [&str; 4] = [
    "tickets-service",
    "orders-service",
    "payments-service",
    "sgt",
];

/// Passes the arguments on. The exit code is that of `sgt soak`.
pub(crate) fn run(args: &[OsString]) -> anyhow::Result<ExitCode> {
    let built = run_command(&mut build())?;
    ensure!(built.success(), "the programs do not build");
    run_command(command()?.args(args)).map(exit_code)
}

/// All of them in one call, so that they are built with the same features of what they share.
fn build() -> Command {
    let mut build = cargo();
    build.args(["build", "--quiet", "--locked", "--bins"]);
    for program in PROGRAMS {
        build.args(["--package", program]);
    }
    build
}

/// `sgt soak`, once it is built: where cargo has put us, it puts that.
fn command() -> anyhow::Result<Command> {
    let ours = env::current_exe().context("our own program is not to be found")?;
    let sgt = ours
        .with_file_name("sgt")
        .with_extension(env::consts::EXE_EXTENSION);
    let mut command = Command::new(sgt);
    command.arg("soak");
    Ok(command)
}
