use std::num::NonZeroUsize;

use crate::{Cluster, Server};

/// How many NATS servers a system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HowMany {
    One,
    Three,
}

/// The NATS servers of a system.
#[derive(Debug)]
pub(super) enum Servers {
    One(Server),
    Three(Cluster),
}

impl Servers {
    /// One is started with this text in its configuration, of three nobody needs any.
    pub(super) async fn start(how_many: HowMany, config: &str) -> Self {
        match how_many {
            HowMany::One => Self::One(Server::start(config).await),
            HowMany::Three => {
                assert_eq!(config, "", "three servers let in whoever comes");
                Self::Three(Cluster::start().await)
            }
        }
    }

    /// Where they are.
    pub(super) fn url(&self) -> &str {
        match self {
            Self::One(server) => server.url(),
            Self::Three(cluster) => cluster.url(),
        }
    }

    /// How often a stream is stored.
    pub(super) fn replicas(&self) -> NonZeroUsize {
        match self {
            Self::One(_) => NonZeroUsize::MIN,
            Self::Three(_) => Cluster::REPLICAS,
        }
    }

    /// The only one.
    pub(super) fn only(&self) -> &Server {
        match self {
            Self::One(server) => server,
            Self::Three(_) => panic!("there are three servers"),
        }
    }

    pub(super) fn cluster(&self) -> &Cluster {
        match self {
            Self::One(_) => panic!("there is one server"),
            Self::Three(cluster) => cluster,
        }
    }
}
