use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use common::http::{JwtKey, PartError, ServiceConfig, Stop};
use common::{
    Client, ClientConfig, ORDERS_SERVICE, PAYMENTS_SERVICE, Provisioning, QueueGroup, Subjects,
    TICKETS_SERVICE, Topology, build_client,
};
use payments_service::GatewayConfig;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use xtask::NatsProcess;
use xtask::nats_server::NatsServer;

use crate::market::api::Addresses;
use crate::market::facts::{LEDGER_DB, ORDERS_DB, PAYMENTS_DB, TICKETS_DB};
use crate::market::run_folder::RunFolder;
use crate::permissions::{self, OPERATOR};

/// Services have deadlines of their own; this one is for a service that hangs.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How often the server is looked at: the system does not tell when a child ends.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// As a gateway on the internet: long enough for something to happen meanwhile.
const GATEWAY_LATENCY: Duration = Duration::from_millis(20);
/// How long payments-service waits for a gateway that has fallen silent.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// A whole ticketing system: a NATS server as a child, and the three services, each with its own
/// database, connection and address, as tasks of this process.
#[derive(Debug)]
pub(super) struct System {
    addresses: Addresses,
    client: Client,
    services: JoinSet<(QueueGroup, Result<(), PartError>)>,
    stop: CancellationToken,
    nats: NatsProcess,
}

/// How the system is set up.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) server: NatsServer,
    pub(super) jwt_key: JwtKey,
    /// How long an order may stay unpaid.
    pub(super) ttl: Duration,
    /// How many of each service.
    pub(super) replicas: NonZeroU8,
    /// The password of everybody, where each is a user of its own. `None`: the server lets in whoever comes.
    pub(super) password: Option<String>,
}

impl Setup {
    fn config(&self, name: &str, url: &str) -> ClientConfig {
        let config = ClientConfig::new(name).url(url);
        match &self.password {
            Some(password) => config.user(name, password),
            None => config,
        }
    }
}

impl System {
    /// Starts everything. On an error nothing is left running.
    pub(super) async fn start(setup: &Setup, folder: &RunFolder) -> anyhow::Result<Self> {
        let mut server = NatsProcess::builder(&setup.server.path, folder.path().join("nats"));
        if let Some(password) = &setup.password {
            server = server.config(permissions::with_password(password));
        }
        let nats = spawn_blocking(|| server.start()).await??;

        let client = build_client(&setup.config(OPERATOR, &nats.url()))
            .await
            .context("NATS cannot be used")?;
        Topology::of::<Subjects>()
            .provision(&client, NonZeroUsize::MIN)
            .await
            .context("streams and consumers could not be provisioned")?;

        let mut system = Self {
            addresses: Addresses::default(),
            client,
            services: JoinSet::new(),
            stop: CancellationToken::new(),
            nats,
        };
        for _ in 0..setup.replicas.get() {
            system.start_services(setup, folder).await?;
        }
        Ok(system)
    }

    /// Starts one of each service.
    async fn start_services(&mut self, setup: &Setup, folder: &RunFolder) -> anyhow::Result<()> {
        let url = self.nats.url();
        let config = |service: QueueGroup, database| ServiceConfig {
            http_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            database_url: folder.database(database),
            nats: setup.config(service.as_str(), &url),
            jwt_key: setup.jwt_key.clone(),
            provisioning: Provisioning::BindOnly,
        };
        let late = |service: QueueGroup| format!("{service} does not start");

        let tickets = tickets_service::Config {
            service: config(TICKETS_SERVICE, TICKETS_DB),
        };
        let tickets = tickets_service::Service::start(&tickets)
            .await
            .with_context(|| late(TICKETS_SERVICE))?;
        self.addresses.tickets.push(tickets.addr());
        self.spawn(TICKETS_SERVICE, |stop| tickets.run(stop));

        let orders = orders_service::Config {
            service: config(ORDERS_SERVICE, ORDERS_DB),
            order_ttl: setup.ttl.try_into()?,
        };
        let orders = orders_service::Service::start(&orders)
            .await
            .with_context(|| late(ORDERS_SERVICE))?;
        self.addresses.orders.push(orders.addr());
        self.spawn(ORDERS_SERVICE, |stop| orders.run(stop));

        let payments = payments_service::Config {
            service: config(PAYMENTS_SERVICE, PAYMENTS_DB),
            gateway: GatewayConfig::Sandbox {
                ledger: folder.database(LEDGER_DB),
                latency: GATEWAY_LATENCY,
            },
            gateway_timeout: GATEWAY_TIMEOUT,
        };
        let payments = payments_service::Service::start(&payments)
            .await
            .with_context(|| late(PAYMENTS_SERVICE))?;
        self.addresses.payments.push(payments.addr());
        self.spawn(PAYMENTS_SERVICE, |stop| payments.run(stop));
        Ok(())
    }

    fn spawn<F>(&mut self, service: QueueGroup, run: impl FnOnce(Stop) -> F)
    where
        F: Future<Output = Result<(), PartError>> + Send + 'static,
    {
        let running = run(self.stop.clone().cancelled_owned());
        self.services.spawn(async move { (service, running.await) });
    }

    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn nats_url(&self) -> String {
        self.nats.url()
    }

    /// Completes if a service or the server ends by itself, and says why.
    pub(super) async fn broken(&mut self) -> anyhow::Error {
        loop {
            tokio::select! {
                ended = self.services.join_next() => return match ended {
                    Some(Ok((service, Ok(())))) => anyhow!("{service} ended by itself"),
                    Some(Ok((service, Err(err)))) => anyhow!(err).context(format!("{service} stopped")),
                    Some(Err(err)) => anyhow!(err).context("a service panicked"),
                    None => anyhow!("no service runs"),
                },
                () = sleep(LOOK_EVERY) => match self.nats.try_wait() {
                    Ok(None) => {}
                    Ok(Some(status)) => return anyhow!("nats-server ended by itself: {status}"),
                    Err(err) => return anyhow!(err).context("nats-server is out of sight"),
                },
            }
        }
    }

    /// Stops everything in order: the services finish what they have begun, then the server goes.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        if self.nats.pid().is_none() {
            // Nothing can be finished without it: what drains would only wait for its deadlines.
            self.services.shutdown().await;
        }
        self.stop.cancel();
        let drained = timeout(STOP_WITHIN, async {
            while let Some(ended) = self.services.join_next().await {
                let (service, outcome) = ended.context("a service panicked")?;
                outcome.with_context(|| format!("{service} did not stop in order"))?;
            }
            anyhow::Ok(())
        })
        .await;
        self.client.close().await;
        let stopped = spawn_blocking(move || self.nats.stop()).await?;
        match drained {
            Ok(outcome) => outcome?,
            Err(_) => bail!("services did not stop within {STOP_WITHIN:?}"),
        }
        stopped.context("nats-server did not stop in order")
    }
}
