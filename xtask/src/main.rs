//! `cargo xtask`: all that the tests need, then the tests; and every check that CI runs.

mod commands;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

/// Set-up and checks of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set up what the tests need, then run all of them
    ///
    /// Finds or fetches nats-server, finds or (on Debian and Ubuntu, as root) installs and starts a
    /// Docker engine, pulls or builds the server's image, runs `cargo test --workspace
    /// --all-features --locked`, and removes what the run left behind, also after a failure. The
    /// exit code is that of `cargo test`.
    ///
    /// The tests are told what they need in their environment: `TEST_NATS` (container or process),
    /// `TEST_NATS_IMAGE`, `TEST_RUN_ID` (the value of the label org.sgtickets.test on every container),
    /// `NATS_SERVER` (the program) and `DOCKER_HOST`; `TEST_NODE` and `TEST_PYTHON` (the folders of the packages
    /// that the clients in other languages use, pinned and installed into the cache) and `TEST_CHROMIUM` (the
    /// program). What cannot be had of these three is left out, which is said before the tests and after them;
    /// if CI is set, it is a failure.
    #[command(after_help = "Examples:\n  \
        cargo xtask test\n  \
        cargo xtask test --nats process\n  \
        cargo xtask test -- -p integration-tests --test it\n  \
        cargo xtask test -- -- --nocapture")]
    Test {
        #[command(flatten)]
        nats: NatsOption,
        /// Arguments for `cargo test`, after `--`
        #[arg(last = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
    /// Run every check that CI runs, the tests last
    ///
    /// Formatting, spelling, licences and sources of dependencies, clippy, the features of
    /// `common`, documentation, drift of the schemas, a demo, a soak of one minute, tests. The first failure stops, and names the
    /// command that repeats it alone. A tool that is missing is named with its install line; if CI is
    /// set, that is a failure.
    Ci {
        #[command(flatten)]
        nats: NatsOption,
    },
    /// Let everything go wrong that may, for minutes and under load, and check what must be true afterwards
    ///
    /// Builds the three services and `sgt`, and runs `sgt soak` with these arguments: `--minutes`, `--seed`, `--json`,
    /// `--plan`; `--help` tells of them. The exit code is 0 if everything holds.
    #[command(
        disable_help_flag = true,
        after_help = "Example:\n  cargo xtask soak --minutes 5 --seed 1"
    )]
    Soak {
        /// Arguments for `sgt soak`
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGS"
        )]
        args: Vec<OsString>,
    },
    /// Print the path of a nats-server, found or fetched
    NatsServer,
}

#[derive(Debug, clap::Args)]
struct NatsOption {
    /// Where the NATS servers of the integration tests run
    #[arg(long, value_enum, default_value_t = Nats::Auto)]
    nats: Nats,
}

/// Where the NATS servers of the integration tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Nats {
    /// In containers if a Docker engine is there or can be installed, else as processes
    Auto,
    /// In containers; without a Docker engine, fail
    Container,
    /// As processes, without Docker
    Process,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Test { nats, args } => commands::test::run(nats.nats, &args),
        Command::Ci { nats } => commands::ci::run(nats.nats),
        Command::Soak { args } => commands::soak::run(&args),
        Command::NatsServer => commands::print_nats_server(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
