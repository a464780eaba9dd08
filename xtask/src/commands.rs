//! What `cargo xtask` can do.

pub(crate) mod ci;
mod docker;
mod engine;
mod engine_use;
mod foreign;
pub(crate) mod soak;
pub(crate) mod test;
mod tool;

use std::{
    env,
    path::Path,
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::Context as _;
use xtask::nats_server;

/// Says where a server is.
#[expect(
    clippy::print_stdout,
    reason = "the path is the result, for `$(cargo xtask nats-server)`"
)]
pub(crate) fn print_nats_server() -> anyhow::Result<ExitCode> {
    println!("{}", nats_server::locate()?.path.display());
    Ok(ExitCode::SUCCESS)
}

/// The cargo that runs us, in the workspace's folder.
fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    cargo
}

fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Runs a command in the open: its output is ours.
fn run(command: &mut Command) -> anyhow::Result<ExitStatus> {
    command
        .status()
        .with_context(|| format!("{} cannot be run", command.get_program().display()))
}

/// The exit code of a child as ours. One that a signal ended has none, and failed.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
