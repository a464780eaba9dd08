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

use crate::server::Server;
use crate::wire::Wire;

mod backup;
mod dead_letters;
mod look;

pub use backup::Backup;
pub use dead_letters::Letter;
pub(crate) use look::read;
pub use look::{ConsumerState, Message};

/// How many tests can share the server.
const ACCOUNTS: usize = 256;
const PASSWORD: &str = "of-a-test";

/// NATS as one test has it: streams and consumers that no other test sees.
#[derive(Debug)]
pub struct TestNats {
    server: Arc<Server>,
    tenancy: Tenancy,
    client: Client,
    /// For what is looked at and changed without the library.
    jetstream: jetstream::Context,
    read: AtomicUsize,
}

/// Whose server it is.
#[derive(Debug, Clone)]
enum Tenancy {
    /// The test's.
    Alone,
    /// Of many tests; this one has the account of that user.
    Shared { user: String },
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
        Self::on(server, Tenancy::Shared { user }).await
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
        let server = Server::start(config).await;
        Self::on(Arc::new(server), Tenancy::Alone).await
    }

    async fn on(server: Arc<Server>, tenancy: Tenancy) -> Self {
        let config = tenancy.config("integration-tests", server.url());
        let client = build_client(&config).await.unwrap();
        let raw = tenancy.options().connect(server.url()).await.unwrap();
        Self {
            server,
            tenancy,
            client,
            jetstream: jetstream::new(raw),
            read: AtomicUsize::new(0),
        }
    }

    /// Where the server is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The server, of a test that is alone on it.
    ///
    /// # Panics
    ///
    /// If others are on it too.
    #[must_use]
    pub fn server(&self) -> &Server {
        match self.tenancy {
            Tenancy::Alone => &self.server,
            Tenancy::Shared { .. } => panic!("other tests are on this server"),
        }
    }

    /// How a client connects that goes by this name.
    #[must_use]
    pub fn config(&self, name: &str) -> ClientConfig {
        self.tenancy.config(name, self.url())
    }

    /// What a program needs in its environment to connect.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![("NATS_URL", self.url().to_owned())];
        if let Tenancy::Shared { user } = &self.tenancy {
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
            Tenancy::Alone => None,
            Tenancy::Shared { user } => Some((user.as_str(), PASSWORD)),
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
        let provisioned = topology.provision(&self.client, NonZeroUsize::MIN).await;
        provisioned.unwrap();
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
    fn config(&self, name: &str, url: &str) -> ClientConfig {
        let config = ClientConfig::new(name).url(url);
        match self {
            Self::Alone => config,
            Self::Shared { user } => config.user(user, PASSWORD),
        }
    }

    fn options(&self) -> async_nats::ConnectOptions {
        match self {
            Self::Alone => async_nats::ConnectOptions::new(),
            Self::Shared { user } => async_nats::ConnectOptions::with_user_and_password(
                user.clone(),
                PASSWORD.to_owned(),
            ),
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
