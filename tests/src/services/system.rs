use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::events::{OrderId, TicketId};
use common::http::{JwtKey, ServiceConfig, Stop};
use common::testing::sample;
use common::{
    BoxError, Client, ClientConfig, ORDERS_SERVICE, PAYMENTS_SERVICE, Provisioning, QueueGroup,
    Subjects, TICKETS_SERVICE, Topology, build_client,
};
use payments_service::{GatewayConfig, SandboxGateway, SandboxLedger};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use xtask::Watchdog;

use super::books::{self, file};
use super::servers::{HowMany, Servers};
use super::{Books, Broker, Gate, Program, Story, User, until, until_within};
use crate::until::DEADLINE;
use crate::{Cluster, Wire};

/// The key that signs the tokens of users.
const JWT_KEY: &str = "a key of at least thirty-two bytes";
/// Longer than a test.
const SIGNED_IN_FOR: Duration = Duration::from_hours(1);

/// A NATS server and what runs on it, from nothing.
///
/// Dropped, it takes everything with it, and so does the end of this process: what all tests share is never dropped.
/// [`stop`](Self::stop) it to see that it can also stop in order.
#[derive(Debug)]
pub struct System {
    // First to go: the services, so that they do not look for a server that is gone.
    replicas: Mutex<HashMap<QueueGroup, Vec<Replica>>>,
    settings: SystemBuilder,
    client: Client,
    broker: Broker,
    books: Books,
    gate: Gate,
    servers: Servers,
    folder: TempDir,
    // Dismissed when the folder is gone.
    _watchdog: Option<Watchdog>,
}

/// One of a service's replicas.
#[derive(Debug)]
struct Replica {
    addr: SocketAddr,
    /// `None`: it is a program, and the test's own.
    task: Option<Task>,
}

#[derive(Debug)]
struct Task {
    stop: CancellationToken,
    running: AbortOnDropHandle<Result<(), BoxError>>,
}

/// How a system is set up.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `start`"]
pub struct SystemBuilder {
    order_ttl: Duration,
    gateway_timeout: Duration,
    servers: HowMany,
    users: Option<String>,
}

/// The password of every user of a system that has users.
const PASSWORD: &str = "of-a-test";

impl SystemBuilder {
    /// Lets it have three NATS servers, with everything on each. Default: one.
    pub fn in_cluster(mut self) -> Self {
        self.servers = HowMany::Three;
        self
    }

    /// The server lets in users only, by this configuration: each service under its own name, and the test as `sgt`. Their
    /// passwords are variables of the configuration. Default: whoever comes.
    pub fn users(mut self, config: &str) -> Self {
        let services = [TICKETS_SERVICE, ORDERS_SERVICE, PAYMENTS_SERVICE];
        let users = services.map(|service| {
            let variable = service.as_str().to_uppercase().replace('-', "_");
            format!("{variable}_PASSWORD: {PASSWORD}\n")
        });
        let users = users.concat();
        self.users = Some(format!("{users}SGT_PASSWORD: {PASSWORD}\n{config}"));
        self
    }

    /// How somebody connects.
    fn config(&self, name: &str, url: &str) -> ClientConfig {
        let config = ClientConfig::new(name).url(url);
        match self.users {
            Some(_) => config.user(name, PASSWORD),
            None => config,
        }
    }

    /// How long an order waits for its payment. Default: a quarter of an hour.
    pub fn order_ttl(mut self, ttl: Duration) -> Self {
        self.order_ttl = ttl;
        self
    }

    /// How long payments-service waits for the bank. Default: half a minute.
    pub fn gateway_timeout(mut self, timeout: Duration) -> Self {
        self.gateway_timeout = timeout;
        self
    }

    /// Starts a server and one replica of each service, as tasks of the test.
    pub async fn start(self) -> System {
        let system = self.start_server().await;
        for service in [TICKETS_SERVICE, ORDERS_SERVICE, PAYMENTS_SERVICE] {
            system.start_service(service).await;
        }
        system
    }

    /// Starts a server with streams and consumers, and no service.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn start_server(self) -> System {
        let system = self.start_bare_server().await;
        let topology = Topology::of::<Subjects>();
        let replicas = system.servers.replicas();
        let provisioned = topology.provision(&system.client, replicas).await;
        provisioned.unwrap();
        system
    }

    /// Starts a server that has nothing.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn start_bare_server(self) -> System {
        let folder = tempfile::Builder::new()
            .prefix("sgtickets-it-")
            .tempdir()
            .unwrap();
        let config = self.users.as_deref().unwrap_or_default();
        let servers = Servers::start(self.servers, config).await;
        let client = self.config("sgt", servers.url());
        let client = build_client(&client).await.unwrap();
        let ledger = format!("sqlite://{}", file(folder.path(), books::BANK));
        let ledger = SandboxLedger::open(&ledger).await.unwrap();
        System {
            replicas: Mutex::default(),
            settings: self,
            broker: Broker::new(&client),
            client,
            books: Books::open(folder.path()),
            gate: Gate::before(SandboxGateway::new(ledger)),
            servers,
            _watchdog: Watchdog::arm(&format!(
                "for _ in 1 2 3 4 5; do rm -rf '{}' && exit; sleep 1; done",
                folder.path().display()
            ))
            .ok(),
            folder,
        }
    }
}

impl System {
    /// Describes a system.
    pub fn builder() -> SystemBuilder {
        SystemBuilder {
            order_ttl: Duration::from_mins(15),
            gateway_timeout: Duration::from_secs(30),
            servers: HowMany::One,
            users: None,
        }
    }

    /// A system of the test's own, as it is by default.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// The system that all tests share which neither stop nor hold up anything.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn shared() -> &'static Self {
        /// Each test has a runtime of its own, which ends with it.
        static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
        static SHARED: OnceCell<System> = OnceCell::const_new();

        SHARED
            .get_or_init(|| async {
                let settings = Self::builder().gateway_timeout(Duration::from_secs(3));
                let started = spawn_blocking(move || RUNTIME.block_on(settings.start()));
                started.await.unwrap()
            })
            .await
    }

    /// What the test does to the streams.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// What services and bank have written down.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// What stands before the bank of payments-service, where that is a task of the test.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The test's own connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A connection to the server of a system with users.
    pub async fn wire(&self, user: &str) -> Wire {
        Wire::of(self.servers.only(), user, PASSWORD).await
    }

    /// What a program needs in its environment to connect as a user of a system with users.
    #[must_use]
    pub fn environment(&self, user: &str) -> Vec<(&'static str, String)> {
        vec![
            ("NATS_URL", self.nats_url().to_owned()),
            ("NATS_USER", user.to_owned()),
            ("NATS_PASSWORD", PASSWORD.to_owned()),
        ]
    }

    /// What nobody should be told, and what it is for.
    #[must_use]
    pub fn secrets(&self) -> [(&'static str, &'static str); 2] {
        [("the password", PASSWORD), ("the key", JWT_KEY)]
    }

    /// Where the NATS server is.
    #[must_use]
    pub fn nats_url(&self) -> &str {
        self.servers.url()
    }

    /// What verifies the tokens of users.
    ///
    /// # Panics
    ///
    /// Never: the key is long enough.
    #[must_use]
    pub fn jwt_key(&self) -> JwtKey {
        jwt_key()
    }

    /// Somebody who is signed in.
    #[must_use]
    pub fn user(&self, name: &str) -> User<'_> {
        let token = jwt_key().mint(&sample::user(name), SIGNED_IN_FOR);
        User::new(self, Some(token))
    }

    /// Somebody with a token that may be none.
    #[must_use]
    pub fn bearer(&self, token: &str) -> User<'_> {
        User::new(self, Some(token.to_owned()))
    }

    /// Somebody who is not signed in.
    #[must_use]
    pub fn nobody(&self) -> User<'_> {
        User::new(self, None)
    }

    /// Where the newest replica of a service listens.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn addr(&self, service: QueueGroup) -> SocketAddr {
        let replicas = self.replicas();
        let newest = replicas.get(&service).and_then(|replicas| replicas.last());
        newest.expect("the service runs").addr
    }

    /// Starts a replica of a service as a task of the test.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start_service(&self, service: QueueGroup) {
        match service {
            TICKETS_SERVICE => self.start_tickets_service().await,
            ORDERS_SERVICE => self.start_orders_service(self.settings.order_ttl).await,
            PAYMENTS_SERVICE => self.start_payments_service().await,
            _ => panic!("there is no `{service}`"),
        }
    }

    /// Waits until the newest replica of a service says that it is ready.
    async fn until_ready(&self, service: QueueGroup) {
        until(&format!("{service} is ready"), async || {
            match self.nobody().get(service, "/readyz").await {
                ready if ready.status == 200 => Ok(()),
                not_ready => Err(not_ready.text),
            }
        })
        .await;
    }

    async fn start_tickets_service(&self) {
        let config = tickets_service::Config {
            service: self.config(TICKETS_SERVICE),
        };
        let service = tickets_service::Service::start(&config).await.unwrap();
        self.spawn(TICKETS_SERVICE, service.addr(), |stop| service.run(stop));
        self.until_ready(TICKETS_SERVICE).await;
    }

    /// Starts a replica of orders-service whose orders wait so long for their payment.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start_orders_service(&self, ttl: Duration) {
        let config = orders_service::Config {
            service: self.config(ORDERS_SERVICE),
            order_ttl: ttl.try_into().unwrap(),
        };
        let service = orders_service::Service::start(&config).await.unwrap();
        self.spawn(ORDERS_SERVICE, service.addr(), |stop| service.run(stop));
        self.until_ready(ORDERS_SERVICE).await;
    }

    async fn start_payments_service(&self) {
        let config = payments_service::Config {
            service: self.config(PAYMENTS_SERVICE),
            gateway: GatewayConfig::Sandbox {
                ledger: self.ledger_url(),
                latency: Duration::ZERO,
            },
            gateway_timeout: self.settings.gateway_timeout,
        };
        let gate = self.gate.clone();
        let service = payments_service::Service::with_gateway(&config, gate).await;
        let service = service.unwrap();
        self.spawn(PAYMENTS_SERVICE, service.addr(), |stop| service.run(stop));
        self.until_ready(PAYMENTS_SERVICE).await;
    }

    fn config(&self, service: QueueGroup) -> ServiceConfig {
        ServiceConfig {
            http_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            database_url: self.database_url(service),
            nats: self.settings.config(service.as_str(), self.servers.url()),
            jwt_key: jwt_key(),
            provisioning: Provisioning::BindOnly,
        }
    }

    fn spawn<F, E>(&self, service: QueueGroup, addr: SocketAddr, run: impl FnOnce(Stop) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let stop = CancellationToken::new();
        let running = run(stop.clone().cancelled_owned());
        let running = tokio::spawn(async { running.await.map_err(Into::into) });
        let running = AbortOnDropHandle::new(running);
        let task = Some(Task { stop, running });
        self.replicas()
            .entry(service)
            .or_default()
            .push(Replica { addr, task });
    }

    /// Stops every replica of a service that is a task of the test, in order.
    ///
    /// # Panics
    ///
    /// If one of them failed.
    pub async fn stop_service(&self, service: QueueGroup) {
        let replicas = self.replicas().remove(&service).unwrap_or_default();
        for task in replicas.into_iter().filter_map(|replica| replica.task) {
            task.stop.cancel();
            if let Err(err) = task.running.await.unwrap() {
                panic!("{service} did not stop in order: {err}");
            }
        }
    }

    /// Starts a replica of a service as the program it is; `path` is where cargo has put it.
    pub async fn run_program(
        &self,
        service: QueueGroup,
        path: &str,
        variables: &[(&'static str, &str)],
    ) -> Program {
        let mut all: Vec<_> = vec![
            ("HTTP_ADDR", "127.0.0.1:0".to_owned()),
            ("DATABASE_URL", self.database_url(service)),
            ("NATS_URL", self.servers.url().to_owned()),
            ("JWT_KEY", JWT_KEY.to_owned()),
            ("GATEWAY_LEDGER", self.ledger_url()),
            ("RUST_LOG", "info".to_owned()),
        ];
        all.extend(
            variables
                .iter()
                .map(|&(name, value)| (name, value.to_owned())),
        );
        let program = Program::start(path, service, self.folder.path(), all).await;
        let replica = Replica {
            addr: program.addr(),
            task: None,
        };
        self.replicas().entry(service).or_default().push(replica);
        self.until_ready(service).await;
        program
    }

    /// The NATS servers, if there are three.
    ///
    /// # Panics
    ///
    /// If there is one.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        self.servers.cluster()
    }

    /// Stops the NATS server in order.
    pub async fn stop_nats(&self) {
        self.servers.only().stop().await;
    }

    /// Starts the NATS server again, where it was.
    pub async fn restart_nats(&self) {
        self.servers.only().restart().await;
    }

    /// A ticket of alice's that orders-service knows.
    ///
    /// # Panics
    ///
    /// If it does not hear of it.
    pub async fn ticket_on_sale(&self) -> TicketId {
        let ticket = self.user("alice").sells("Concert", 2500).await;
        let known = format!("SELECT id FROM orders.tickets WHERE id = '{ticket}'");
        self.until_asked(
            &format!("orders-service knows ticket {ticket}"),
            &known,
            &[&ticket.to_string()],
        )
        .await;
        ticket
    }

    /// An order of bob's for a ticket of its own, which everybody knows.
    pub async fn order_that_awaits_payment(&self) -> OrderId {
        let ticket = self.ticket_on_sale().await;
        let order = self.user("bob").orders(ticket).await;
        self.until_story(order, &Story::awaiting_payment()).await;
        order
    }

    /// Waits until a query of the [`books`](Self::books) finds this, and says `what` it is if it never does.
    pub async fn until_asked(&self, what: &str, query: &str, expected: &[&str]) {
        until(what, async || {
            let found = self.books.ask(query).await;
            if found == expected {
                Ok(())
            } else {
                Err(found)
            }
        })
        .await;
    }

    /// Waits until everybody tells this story of the order.
    ///
    /// # Panics
    ///
    /// If they do not.
    pub async fn until_story(&self, order: OrderId, expected: &Story) {
        until(
            &format!("order {order} is {expected:?}"),
            async || match self.books.story(order).await {
                Some(story) if story == *expected => Ok(()),
                other => Err(other),
            },
        )
        .await;
    }

    /// Waits until nothing is on its way: no event is unsent, held or unread, and no money in the balance.
    ///
    /// # Panics
    ///
    /// If something stays on its way.
    pub async fn settled(&self) {
        self.settled_within(DEADLINE).await;
    }

    /// As [`settled`](Self::settled), with a deadline of one's own.
    ///
    /// # Panics
    ///
    /// If something stays on its way.
    pub async fn settled_within(&self, deadline: Duration) {
        until_within(deadline, "nothing is on its way", async || {
            let unfinished = self.books.unfinished().await;
            let backlog = self.broker.backlog().await;
            if unfinished.is_empty() && backlog.is_empty() {
                Ok(())
            } else {
                Err((unfinished, backlog))
            }
        })
        .await;
    }

    /// Waits until everything is settled, asserts that the books are in order and nobody gave anything up, and stops
    /// the services in order.
    ///
    /// # Panics
    ///
    /// If that is not so.
    pub async fn stop(self) {
        self.settled().await;
        assert_eq!(self.books.broken_laws().await, Vec::<String>::new());
        assert_eq!(self.broker.dead_letters().await, Vec::<String>::new());
        for service in [TICKETS_SERVICE, ORDERS_SERVICE, PAYMENTS_SERVICE] {
            self.stop_service(service).await;
        }
    }

    /// Where a service has its data.
    #[must_use]
    pub fn database_url(&self, service: QueueGroup) -> String {
        let name = match service {
            TICKETS_SERVICE => books::TICKETS,
            ORDERS_SERVICE => books::ORDERS,
            _ => books::PAYMENTS,
        };
        format!("sqlite://{}", file(self.folder.path(), name))
    }

    fn ledger_url(&self) -> String {
        format!("sqlite://{}", file(self.folder.path(), books::BANK))
    }

    fn replicas(&self) -> MutexGuard<'_, HashMap<QueueGroup, Vec<Replica>>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn jwt_key() -> JwtKey {
    JwtKey::new(JWT_KEY).unwrap()
}
