//! Sells tickets: see the library of the same name.

use std::process::ExitCode;

use common::http::{announce, exit_code, log_to_stderr, until_signalled};
use common::{BoxError, TICKETS_SERVICE};
use tickets_service::{Config, Service};

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(TICKETS_SERVICE, serve().await)
}

async fn serve() -> Result<(), BoxError> {
    let config = Config::from_args()?;
    log_to_stderr()?;

    let service = Service::start(&config).await?;
    announce(TICKETS_SERVICE, service.addr())?;

    until_signalled(async |stop| Ok(service.run(stop).await?)).await
}
