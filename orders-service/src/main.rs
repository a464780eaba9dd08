//! Takes orders: see the library of the same name.

use std::process::ExitCode;

use common::ORDERS_SERVICE;
use common::http::{announce, log_to_stderr, until_signalled};
use orders_service::{Config, Service};

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("{ORDERS_SERVICE}: {err:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> anyhow::Result<()> {
    let config = Config::from_args()?;
    log_to_stderr()?;

    let service = Service::start(&config).await?;
    announce(ORDERS_SERVICE, service.addr())?;

    until_signalled(async |stop| Ok(service.run(stop).await?)).await
}
