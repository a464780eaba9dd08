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
    process::{Command, ExitCode, ExitStatus, Stdio},
};

use anyhow::Context as _;
use xtask::{Watchdog, command::own_group, nats_server};

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
///
/// If this process is ended, by Ctrl-C or any signal, the command is told to end, and all that it has started.
fn run(command: &mut Command) -> anyhow::Result<ExitStatus> {
    own_group(command);
    // Whoever reads a terminal from a group that does not own it is stopped, and nobody sees why.
    command.stdin(Stdio::null());
    let program = command.get_program().to_owned();
    let failed = || format!("{} cannot be run", program.display());
    let mut child = command.spawn().with_context(failed)?;
    // Without a shell, whoever ends us must end it too.
    let watchdog = Watchdog::arm(&format!("kill -s TERM -- -{}", child.id())).ok();
    let status = child.wait().with_context(failed);
    drop(watchdog);
    status
}

/// The exit code of a child as ours. One that a signal ended has none, and failed.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
