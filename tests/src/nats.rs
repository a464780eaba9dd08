use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use async_nats::jetstream;
use common::{
    Client, ClientConfig, Event, JetStreamPublisher, Stored, SubjectSet, Topology, build_client,
};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use crate::cluster::Cluster;
use crate::server::Server;
use crate::wire::Wire;

mod backup;
mod dead_letters;
mod look;
mod members;

pub use backup::Backup;
pub use dead_letters::Letter;
pub(crate) use look::read;
pub use look::{ConsumerState, Message};
pub use members::server_of;

/// How many tests can share the server.
const ACCOUNTS: usize = 256;
const PASSWORD: &str = "of-a-test";

/// NATS as one test has it: streams and consumers that no other test sees.
#[derive(Debug)]
pub struct TestNats {
    tenancy: Tenancy,
    client: Client,
    /// For what is looked at and changed without the library.
    jetstream: jetstream::Context,
    read: AtomicUsize,
}

/// Whose server it is.
#[derive(Debug)]
enum Tenancy {
    /// The test's.
    Alone(Server),
    /// Of many tests; this one has the account of that user.
    Shared { server: Arc<Server>, user: String },
    /// Three, and all are the test's.
    Cluster(Cluster),
}

impl TestNats {
    /// An account of its own on the server that all tests share which do not disturb it.
    ///
    /// # Panics
    ///
    /// If no server can be had.
    pub async fn start() -> Self {
        /// Each test has a runtime of its own, which ends with it.
        static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
        static SHARED: OnceCell<Arc<Server>> = OnceCell::const_new();
        static NEXT: AtomicUsize = AtomicUsize::new(0);

        let server = SHARED.get_or_init(|| async {
            let started = RUNTIME.spawn(async { Arc::new(Server::start(&accounts()).await) });
            started.await.unwrap()
        });
        let server = Arc::clone(server.await);
        let account = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(account < ACCOUNTS, "there are more tests than accounts");
        let user = format!("test-{account}");
        Self::on(Tenancy::Shared { server, user }).await
    }

    /// A server of its own, which the test may stop, kill and pause.
    ///
    /// # Panics
    ///
    /// If no server can be had.
    pub async fn alone() -> Self {
        Self::configured("").await
    }

    /// A server of its own with this text in its configuration file.
    ///
    /// # Panics
    ///
    /// If no server can be had, or `""` is no user of it.
    pub async fn configured(config: &str) -> Self {
        Self::on(Tenancy::Alone(Server::start(config).await)).await
    }

    /// Three servers of its own, on which everything is stored three times.
    ///
    /// # Panics
    ///
    /// If they cannot be had.
    pub async fn in_cluster() -> Self {
        Self::on(Tenancy::Cluster(Cluster::start().await)).await
    }

    async fn on(tenancy: Tenancy) -> Self {
        let config = tenancy.config("integration-tests");
        let client = build_client(&config).await.unwrap();
        let servers: Vec<_> = tenancy.url().split(',').collect();
        let raw = tenancy.options().connect(servers).await.unwrap();
        Self {
            tenancy,
            client,
            jetstream: jetstream::new(raw),
            read: AtomicUsize::new(0),
        }
    }

    /// Where the server is, or the servers are.
    #[must_use]
    pub fn url(&self) -> &str {
        self.tenancy.url()
    }

    /// The server, of a test that is alone on it.
    ///
    /// # Panics
    ///
    /// If others are on it too, or there are several.
    #[must_use]
    pub fn server(&self) -> &Server {
        match &self.tenancy {
            Tenancy::Alone(server) => server,
            Tenancy::Shared { .. } => panic!("other tests are on this server"),
            Tenancy::Cluster(_) => panic!("there are three servers"),
        }
    }

    /// The servers, of a test that has several.
    ///
    /// # Panics
    ///
    /// If there is one.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        match &self.tenancy {
            Tenancy::Cluster(cluster) => cluster,
            Tenancy::Alone(_) | Tenancy::Shared { .. } => panic!("there is one server"),
        }
    }

    /// How a client connects that goes by this name.
    #[must_use]
    pub fn config(&self, name: &str) -> ClientConfig {
        self.tenancy.config(name)
    }

    /// What a program needs in its environment to connect.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![("NATS_URL", self.url().to_owned())];
        if let Tenancy::Shared { user, .. } = &self.tenancy {
            environment.push(("NATS_USER", user.clone()));
            environment.push(("NATS_PASSWORD", PASSWORD.to_owned()));
        }
        environment
    }

    /// A new connection.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn connect(&self, name: &str) -> Client {
        build_client(&self.config(name)).await.unwrap()
    }

    /// The test's own connection through the library.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A publisher on the test's own connection.
    #[must_use]
    pub fn publisher(&self) -> JetStreamPublisher {
        JetStreamPublisher::new(&self.client)
    }

    /// A connection that sends what no client would.
    pub async fn wire(&self) -> Wire {
        let user = match &self.tenancy {
            Tenancy::Alone(_) | Tenancy::Cluster(_) => None,
            Tenancy::Shared { user, .. } => Some((user.as_str(), PASSWORD)),
        };
        Wire::connect(self.url(), user).await
    }

    /// Creates what a list needs.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn provision<S: SubjectSet>(&self) {
        let topology = Topology::of::<S>();
        let provisioned = topology.provision(&self.client, self.tenancy.replicas());
        provisioned.await.unwrap();
    }

    /// Publishes an event.
    ///
    /// # Panics
    ///
    /// If it is not stored.
    pub async fn publish<E: Event>(&self, event: &E) -> Stored {
        self.publisher().publish(event).await.unwrap()
    }
}

impl Tenancy {
    fn url(&self) -> &str {
        match self {
            Self::Alone(server) => server.url(),
            Self::Shared { server, .. } => server.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    fn config(&self, name: &str) -> ClientConfig {
        let config = ClientConfig::new(name).url(self.url());
        match self {
            Self::Alone(_) | Self::Cluster(_) => config,
            Self::Shared { user, .. } => config.user(user, PASSWORD),
        }
    }

    fn options(&self) -> async_nats::ConnectOptions {
        match self {
            Self::Alone(_) | Self::Cluster(_) => async_nats::ConnectOptions::new(),
            Self::Shared { user, .. } => async_nats::ConnectOptions::with_user_and_password(
                user.clone(),
                PASSWORD.to_owned(),
            ),
        }
    }

    /// How often a stream is stored.
    fn replicas(&self) -> NonZeroUsize {
        match self {
            Self::Alone(_) | Self::Shared { .. } => NonZeroUsize::MIN,
            Self::Cluster(_) => Cluster::REPLICAS,
        }
    }
}

/// Accounts that see nothing of each other, with one user each.
fn accounts() -> String {
    let mut accounts = "accounts {\n".to_owned();
    for account in 0..ACCOUNTS {
        let _ = writeln!(
            accounts,
            "  T{account} {{ jetstream: enabled, users: [{{ user: test-{account}, password: {PASSWORD} }}] }}"
        );
    }
    accounts + "}\n"
}
