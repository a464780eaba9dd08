//! Takes orders: see the library of the same name.

use std::process::ExitCode;

use common::http::{announce, exit_code, log_to_stderr, until_signalled};
use common::{BoxError, ORDERS_SERVICE};
use orders_service::{Config, Service};

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(ORDERS_SERVICE, serve().await)
}

async fn serve() -> Result<(), BoxError> {
    let config = Config::from_args()?;
    log_to_stderr()?;

    let service = Service::start(&config).await?;
    announce(ORDERS_SERVICE, service.addr())?;

    until_signalled(async |stop| Ok(service.run(stop).await?)).await
}
