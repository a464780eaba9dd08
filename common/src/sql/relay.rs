use super::Database;
use crate::client::Client;

/// The name of the relay's lease.
pub(super) const LEASE: &str = "outbox";

/// Publishes what the outbox holds: at least once, and per key in order.
///
/// One relay works at a time, however many replicas run one; another takes over when its lease expires.
#[derive(Debug)]
pub struct Relay {
    _database: Database,
    _client: Client,
}

impl Relay {
    /// A relay from the outbox of `database` to the streams that `client` reaches.
    #[must_use]
    pub fn new(database: &Database, client: &Client) -> Self {
        Self {
            _database: database.clone(),
            _client: client.clone(),
        }
    }

    /// Publishes until `shutdown`. Troubles are reported to the client's health and waited out.
    pub async fn run(self, _shutdown: impl Future<Output = ()> + Send) {
        todo!()
    }
}
