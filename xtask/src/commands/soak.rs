//! `cargo xtask soak`: builds the programs, and lets `sgt soak` do everything else.

use std::{
    env,
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, ensure};

use super::{cargo, run as run_command};

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
    go_on_as(command()?.args(args))
}

/// Becomes that program, so that every signal and its exit code are its own: whoever ends us ends it.
#[cfg(unix)]
fn go_on_as(program: &mut Command) -> anyhow::Result<ExitCode> {
    let error = std::os::unix::process::CommandExt::exec(program);
    Err(error).with_context(|| format!("{} cannot be run", program.get_program().display()))
}

#[cfg(not(unix))]
fn go_on_as(program: &mut Command) -> anyhow::Result<ExitCode> {
    run_command(program).map(super::exit_code)
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
