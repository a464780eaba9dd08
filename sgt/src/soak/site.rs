use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use common::{ClientConfig, Subjects, Topology, build_client};
use futures::future::join_all;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use xtask::nats_server::NatsServer;
use xtask::{NatsProcess, Program};

use super::cable::Cable;
use super::recognised::LOGGED;
use super::schedule::{REPLICAS, Target};
use crate::market::api::{Addresses, Api, Service};
use crate::market::facts::{LEDGER_DB, ORDERS_DB, PAYMENTS_DB, TICKETS_DB};
use crate::market::run_folder::RunFolder;

/// How long a program may take to come up. It then begins anew, as under any supervisor.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take until one of them comes up: longer than everything else that is down meanwhile.
const COME_UP_WITHIN: Duration = Duration::from_mins(3);
/// How long a service may take to end in order. Its own deadlines are shorter.
const END_WITHIN: Duration = Duration::from_mins(1);
/// As a supervisor waits before it starts what has ended.
const BREATH: Duration = Duration::from_millis(300);

/// The programs of the system, each service's replicas on one database, and the cables between them and their server.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) replicas: Vec<Replica>,
}

/// The NATS server, and the cable that everybody reaches it by.
#[derive(Debug)]
pub(super) struct Server {
    /// Away only while something is done to it.
    process: Option<NatsProcess>,
    pub(super) cable: Cable,
    url: String,
}

/// One replica of a service, and the cable from it.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) service: Service,
    pub(super) nth: usize,
    pub(super) cable: Cable,
    launch: Launch,
    program: Option<Program>,
    /// What it did that it must not, one line each.
    pub(super) troubles: Vec<String>,
}

/// How a program is started.
#[derive(Debug, Clone)]
struct Launch {
    path: PathBuf,
    log: PathBuf,
    variables: BTreeMap<&'static str, String>,
}

impl Site {
    /// Starts everything. On an error nothing is left running.
    pub(super) async fn start(
        server: &NatsServer,
        folder: &RunFolder,
        jwt_key: &str,
        ttl: Duration,
    ) -> anyhow::Result<Self> {
        let server = Server::start(server, folder).await?;
        let mut replicas = Vec::new();
        for service in Service::ALL {
            for nth in 0..REPLICAS {
                let cable = Cable::to(server.cable.addr()).await?;
                let url = format!("nats://{}", cable.addr());
                replicas.push(Replica {
                    service,
                    nth,
                    cable,
                    launch: Launch::of(service, nth, folder, &url, jwt_key, ttl)?,
                    program: None,
                    troubles: Vec::new(),
                });
            }
        }
        for replica in &mut replicas {
            // Nothing goes wrong yet: whoever does not come up now never will.
            let target = replica.target();
            let launched = replica.launch().await?;
            launched.with_context(|| format!("{target} does not come up"))?;
        }
        Ok(Self { server, replicas })
    }

    /// Where the replicas answer.
    pub(super) fn addresses(&self) -> anyhow::Result<Addresses> {
        let mut addresses = Addresses::default();
        for replica in &self.replicas {
            addresses.of(replica.service).push(replica.addr()?);
        }
        Ok(addresses)
    }

    /// Waits until every replica says that it can work.
    pub(super) async fn until_ready(&self, api: &Api, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        for Replica { service, nth, .. } in &self.replicas {
            while !api.is_ready(*service, *nth).await {
                let who = Target::Replica(*service, *nth);
                ensure!(
                    Instant::now() < deadline,
                    "{who} is not ready within {within:?}"
                );
                sleep(Duration::from_millis(100)).await; // nobody tells when a service is ready
            }
        }
        Ok(())
    }

    /// Stops everything in order, and says what did not.
    pub(super) async fn stop(self) -> anyhow::Result<Vec<String>> {
        let stopping = self.replicas.into_iter().map(async |mut replica| {
            replica.stop().await?;
            anyhow::Ok(replica.troubles)
        });
        let mut troubles = Vec::new();
        for stopped in join_all(stopping).await {
            troubles.extend(stopped?);
        }
        let mut server = self.server;
        server.tell(NatsProcess::stop).await??;
        Ok(troubles)
    }
}

impl Server {
    async fn start(program: &NatsServer, folder: &RunFolder) -> anyhow::Result<Self> {
        let process = NatsProcess::builder(&program.path, folder.path().join("nats"));
        let process = spawn_blocking(|| process.start()).await??;
        let url = process.url();
        let client = build_client(&ClientConfig::new("sgt").url(&url))
            .await
            .context("NATS cannot be used")?;
        Topology::of::<Subjects>()
            .provision(&client, std::num::NonZeroUsize::MIN)
            .await
            .context("streams and consumers could not be provisioned")?;
        client.close().await;
        let addr = url.trim_start_matches("nats://");
        Ok(Self {
            cable: Cable::to(addr).await?,
            process: Some(process),
            url,
        })
    }

    /// Where it is reached without a cable.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Does something to its process that may take a while.
    pub(super) async fn tell<T: Send + 'static>(
        &mut self,
        what: impl FnOnce(&mut NatsProcess) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let mut process = self.process.take().context("nats-server is gone")?;
        let (process, told) = spawn_blocking(move || {
            let told = what(&mut process);
            (process, told)
        })
        .await?;
        self.process = Some(process);
        Ok(told)
    }

    /// Looks whether it has ended by itself: what follows would be taken for a fault of ours.
    ///
    /// # Errors
    ///
    /// It has.
    pub(super) async fn must_run(&mut self) -> anyhow::Result<()> {
        match self.tell(NatsProcess::try_wait).await?? {
            None => Ok(()),
            Some(ended) => bail!("nats-server ended by itself: {ended}"),
        }
    }

    /// Starts it again, on its port and its store.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + COME_UP_WITHIN;
        loop {
            match self.tell(NatsProcess::restart).await? {
                Ok(()) => return Ok(()),
                // A connection of somebody else's may have its port for a moment.
                Err(_) if Instant::now() < deadline => sleep(BREATH).await,
                Err(err) => return Err(anyhow!(err).context("nats-server does not come up again")),
            }
        }
    }
}

impl Replica {
    pub(super) fn target(&self) -> Target {
        Target::Replica(self.service, self.nth)
    }

    /// Where it answers.
    pub(super) fn addr(&self) -> anyhow::Result<SocketAddr> {
        let program = self.program.as_ref().context("it does not run")?;
        let (_, addr) = program
            .said()
            .rsplit_once("http://")
            .with_context(|| format!("it said `{}` instead of where it is", program.said()))?;
        Ok(addr.parse()?)
    }

    /// The program. It runs but while it is restarted.
    pub(super) fn program(&mut self) -> anyhow::Result<&mut Program> {
        let target = self.target();
        self.program
            .as_mut()
            .with_context(|| format!("{target} does not run"))
    }

    /// Starts it, again and again while it does not come up: whoever starts before NATS does, ends.
    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + COME_UP_WITHIN;
        loop {
            match self.launch().await? {
                Ok(()) => return Ok(()),
                Err(_) if Instant::now() < deadline => sleep(BREATH).await,
                Err(err) => {
                    let target = self.target();
                    return Err(anyhow!(err).context(format!("{target} does not come up")));
                }
            }
        }
    }

    /// Starts it, once.
    async fn launch(&mut self) -> anyhow::Result<Result<(), xtask::LaunchError>> {
        let launch = self.launch.clone();
        let launched = spawn_blocking(move || launch.run()).await?;
        Ok(launched.map(|program| self.program = Some(program)))
    }

    /// Stops it in order, and notes if that is not how it ended.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        let target = self.target();
        let Some(mut program) = self.program.take() else {
            return Ok(());
        };
        let ended = spawn_blocking(move || program.stop(END_WITHIN)).await??;
        if !ended.success() {
            self.troubles
                .push(format!("{target} was told to stop, and ended with {ended}"));
        }
        Ok(())
    }

    /// Starts it if it has ended by itself, which it must not, and notes it. Returns whether it had.
    pub(super) async fn revive(&mut self) -> anyhow::Result<bool> {
        let Some(ended) = self.program()?.try_wait()? else {
            return Ok(false);
        };
        let target = self.target();
        self.troubles
            .push(format!("{target} ended by itself: {ended}"));
        self.start().await?;
        Ok(true)
    }
}

impl Launch {
    fn of(
        service: Service,
        nth: usize,
        folder: &RunFolder,
        nats_url: &str,
        jwt_key: &str,
        ttl: Duration,
    ) -> anyhow::Result<Self> {
        let name = service.group();
        let database = match service {
            Service::Tickets => TICKETS_DB,
            Service::Orders => ORDERS_DB,
            Service::Payments => PAYMENTS_DB,
        };
        let mut variables = BTreeMap::from([
            ("HTTP_ADDR", "127.0.0.1:0".to_owned()),
            ("DATABASE_URL", folder.database(database)),
            ("NATS_URL", nats_url.to_owned()),
            ("JWT_KEY", jwt_key.to_owned()),
            ("RUST_LOG", LOGGED.to_owned()),
        ]);
        match service {
            Service::Tickets => {}
            Service::Orders => {
                variables.insert("ORDER_TTL", format!("{}ms", ttl.as_millis()));
            }
            Service::Payments => {
                variables.insert("GATEWAY_LEDGER", folder.database(LEDGER_DB));
                variables.insert("GATEWAY_TIMEOUT", "1s".to_owned());
                variables.insert("SANDBOX_LATENCY", "20ms".to_owned());
            }
        }
        let log = format!("{name}-{}.log", nth + 1);
        Ok(Self {
            path: program_named(name.as_str())?,
            log: folder.path().join(log),
            variables,
        })
    }

    fn run(&self) -> Result<Program, xtask::LaunchError> {
        let mut command = Command::new(&self.path);
        command.env_clear().envs(&self.variables);
        Program::launch(&mut command, &self.log, UP_WITHIN)
    }
}

/// The program of a service, beside our own.
fn program_named(name: &str) -> anyhow::Result<PathBuf> {
    let ours = std::env::current_exe()?;
    let path = ours
        .with_file_name(name)
        .with_extension(std::env::consts::EXE_EXTENSION);
    ensure!(
        path.is_file(),
        "{} is not there: `cargo xtask soak` builds it",
        path.display()
    );
    Ok(path)
}
