use std::net::{Ipv4Addr, TcpListener};
use std::num::NonZeroUsize;

use futures::future::join_all;
use uuid::Uuid;

use crate::Cable;
use crate::server::{Mode, Network, Server};

/// Three NATS servers that store every stream three times, each of which can be stopped, killed and cut off.
///
/// In containers they are on a network of their own, beside the one on which clients reach them. As processes they reach
/// each other over [`Cable`]s, one each way for each two of them.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    url: String,
    between: Between,
}

/// How the servers reach each other.
#[derive(Debug)]
enum Between {
    Network(Network),
    /// Each with who connects through it, and to whom.
    Cables(Vec<([usize; 2], Cable)>),
}

const NODES: usize = Cluster::REPLICAS.get();
/// Where servers in containers are for each other.
const ROUTE_PORT: u16 = 6222;

impl Cluster {
    /// How often a stream is stored: on every server.
    pub const REPLICAS: NonZeroUsize = const { NonZeroUsize::MIN.saturating_add(2) };

    /// Starts one. It may take some seconds more until it takes streams.
    ///
    /// # Panics
    ///
    /// If a server does not start.
    pub async fn start() -> Self {
        match Mode::current() {
            Mode::Process => Self::of_processes().await,
            Mode::Container => Self::of_containers().await,
        }
    }

    async fn of_processes() -> Self {
        let ports: Vec<u16> = (0..NODES).map(|_| route_port()).collect();
        let mut cables = Vec::new();
        for (from, to) in pairs() {
            let cable = Cable::to(&format!("127.0.0.1:{}", ports[to])).await;
            cables.push(([from, to], cable));
        }
        let configs = ports.iter().enumerate().map(|(node, port)| {
            let routes = cables.iter().filter(|([from, _], _)| *from == node);
            let routes = routes.map(|(_, cable)| cable.url().to_owned());
            config(node, &format!("127.0.0.1:{port}"), routes)
        });
        let nodes = start_all(configs).await;
        Self::new(nodes, Between::Cables(cables))
    }

    async fn of_containers() -> Self {
        let network = Network::create().await;
        let configs = (0..NODES).map(|node| {
            let routes = pairs().filter(move |(from, _)| *from == node);
            let routes = routes.map(|(_, to)| format!("nats://{}:{ROUTE_PORT}", name(to)));
            config(node, &format!("0.0.0.0:{ROUTE_PORT}"), routes)
        });
        let nodes = start_all(configs).await;
        for (node, server) in nodes.iter().enumerate() {
            let container = server.container().expect("a container");
            network.connect(container, &name(node)).await;
        }
        Self::new(nodes, Between::Network(network))
    }

    fn new(nodes: Vec<Server>, between: Between) -> Self {
        let urls: Vec<_> = nodes.iter().map(Server::url).collect();
        Self {
            url: urls.join(","),
            nodes,
            between,
        }
    }

    /// Where all of them are, separated by commas.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The names of all of them.
    pub fn names(&self) -> impl Iterator<Item = String> + use<> {
        (0..NODES).map(name)
    }

    /// The server of that name.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn node(&self, name: &str) -> &Server {
        &self.nodes[self.position(name)]
    }

    /// Cuts one off from the two others. Clients reach all three.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn cut_off(&self, name: &str) {
        let node = self.position(name);
        match &self.between {
            Between::Cables(cables) => of(cables, node).for_each(Cable::cut),
            Between::Network(network) => network.disconnect(self.container(node)).await,
        }
    }

    /// Mends what [`cut_off`](Self::cut_off) has cut.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn mend(&self, name: &str) {
        let node = self.position(name);
        match &self.between {
            Between::Cables(cables) => of(cables, node).for_each(Cable::mend),
            Between::Network(network) => network.connect(self.container(node), name).await,
        }
    }

    fn container(&self, node: usize) -> &str {
        let container = self.nodes[node].container();
        container.expect("what is on a network is a container")
    }

    fn position(&self, name: &str) -> usize {
        let position = self.names().position(|node| node == name);
        position.unwrap_or_else(|| panic!("there is no server `{name}`"))
    }
}

/// A port that is free, and not among those that the system gives to connections: it stays free while a server is away.
fn route_port() -> u16 {
    loop {
        let [.., high, low] = Uuid::now_v7().into_bytes();
        let port = 10_000 + u16::from_be_bytes([high, low]) % 20_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Each server with each other.
fn pairs() -> impl Iterator<Item = (usize, usize)> {
    let all = (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to)));
    all.filter(|(from, to)| from != to)
}

/// The cables that end at a server.
fn of(cables: &[([usize; 2], Cable)], node: usize) -> impl Iterator<Item = &Cable> {
    let ends = move |(ends, _): &&([usize; 2], Cable)| ends.contains(&node);
    cables.iter().filter(ends).map(|(_, cable)| cable)
}

fn name(node: usize) -> String {
    format!("node-{node}")
}

fn config(node: usize, listen: &str, routes: impl Iterator<Item = String>) -> String {
    let routes: Vec<_> = routes.map(|route| format!("\"{route}\"")).collect();
    format!(
        r#"server_name: {name}
cluster {{
  name: sgtickets-it
  listen: "{listen}"
  # What one server tells another of a third leads nowhere: there is no way around a cut.
  advertise: "127.0.0.1:1"
  routes: [{routes}]
  # A cut shows in nothing but silence, and by default it takes a minute and a half until a server has noticed.
  ping_interval: 2s
  ping_max: 2
}}
# The least that the server takes. It waits a second at most before it sends the next client away.
lame_duck_duration: 30s
lame_duck_grace_period: 1s
"#,
        name = name(node),
        routes = routes.join(", ")
    )
}

async fn start_all(configs: impl Iterator<Item = String>) -> Vec<Server> {
    let starting = configs.map(async |config| Server::start(&config).await);
    join_all(starting).await
}
