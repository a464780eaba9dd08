use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::Context as _;
use common::http::{NATS_VARIABLES, parse_replicas};
use common::{Subjects, Topology};

use crate::connection::{Connection, explain};

/// Create the streams and the durable consumers that the services need.
///
/// What is missing is created, and what is less than declared is raised; nothing is removed without
/// --prune. It may be run again and again, and while the services run.
#[derive(Debug, clap::Args)]
#[command(after_help = NATS_VARIABLES)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,

    /// How many servers store each stream: 1 or 3
    #[arg(long, env, value_name = "NUMBER", default_value = "1", value_parser = parse_replicas)]
    replicas: NonZeroUsize,

    /// Also remove what this version does not declare: subjects, filters, and consumers of groups
    /// that are gone. Only when no older replica runs
    #[arg(long)]
    prune: bool,
}

#[tokio::main]
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.connection.open().await?;
    let topology = Topology::of::<Subjects>();
    let changes = if args.prune {
        topology.provision_and_prune(&client, args.replicas).await
    } else {
        topology.provision(&client, args.replicas).await
    }
    .context("streams and consumers could not be provisioned")
    .map_err(|err| explain(&client, err))?;
    client.close().await;

    let mut stdout = io::stdout().lock();
    for change in changes {
        writeln!(stdout, "{change}")?;
    }
    Ok(ExitCode::SUCCESS)
}
