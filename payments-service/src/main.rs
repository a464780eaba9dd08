//! Takes the money for orders: see the library of the same name.

use std::process::ExitCode;

use common::http::{announce, exit_code, log_to_stderr, until_signalled};
use common::{BoxError, PAYMENTS_SERVICE};
use payments_service::{Config, Service};

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(PAYMENTS_SERVICE, serve().await)
}

async fn serve() -> Result<(), BoxError> {
    let config = Config::from_args()?;
    log_to_stderr()?;

    let service = Service::start(&config).await?;
    announce(PAYMENTS_SERVICE, service.addr())?;

    until_signalled(async |stop| Ok(service.run(stop).await?)).await
}
