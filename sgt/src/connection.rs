use anyhow::Context as _;
use common::dead_letters::DeadLetterError;
use common::{Client, ClientConfig, TopologyError, build_client};

/// Where the NATS server is. Who we are is in the environment.
#[derive(Debug, clap::Args)]
pub(crate) struct Connection {
    /// NATS servers, one or several, separated by commas [default: `nats://127.0.0.1:4222`]
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    nats_url: Option<String>,
}

impl Connection {
    pub(crate) async fn open(&self) -> anyhow::Result<Client> {
        let mut config = ClientConfig::from_env("sgt")?;
        if let Some(url) = self.nats_url.as_deref().filter(|url| !url.is_empty()) {
            config = config.url(url);
        }
        build_client(&config).await.context("NATS cannot be used")
    }
}

/// Says why nobody takes a request, if that is why it failed.
///
/// Not asked before: a server without JetStream may know others that have it.
pub(crate) fn explain(client: &Client, err: anyhow::Error) -> anyhow::Error {
    let mut causes = err.chain();
    let refused = causes.any(|cause| cause.is::<DeadLetterError>() || cause.is::<TopologyError>());
    if !refused || client.nats().server_info().jetstream {
        return err;
    }
    err.context("the NATS server runs without JetStream (nats-server --jetstream)")
}
