//! What a client does while the servers of a cluster elect who answers, and when its own server has lost the others.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::Message;
use serde::de::IgnoredAny;
use tokio::time::{Instant, sleep, timeout};

use super::{ApiError, Client, Connection, RequestError, read_answer};
use crate::jitter::jitter;

/// How long a server may answer nothing before the client tries another one: longer than an election takes.
const LEAVE_AFTER: Duration = Duration::from_secs(10);
/// How long it may take to be connected to another server.
const ARRIVE_WITHIN: Duration = Duration::from_secs(5);
/// How often another server is looked for at once: the client picks one by chance, and may pick the same.
const PICKS: u32 = 5;
/// How long what needs a leader is asked again.
const PATIENCE: Duration = Duration::from_secs(30);

/// No server leads the others, as far as the one that was asked knows.
const NO_META_LEADER: u64 = 10008;
/// The one that was asked does not lead, and knows none that does.
const NOT_LEADER: u64 = 10009;
/// Too few servers are known yet for as many replicas.
const NO_SUITABLE_PEERS: u64 = 10005;

/// Since when the server has left everything unanswered. A server that is cut off from its cluster keeps its clients,
/// and leads them nowhere.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<Option<Instant>>);

impl Silence {
    /// Notes what came of a request that began then. Whether the silence is too long.
    fn note(&self, answer: &Result<Message, RequestError>, began: Instant) -> bool {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unanswered = match answer {
            Ok(message) => is_leaderless(&message.payload),
            Err(RequestError::NoResponders | RequestError::TimedOut) => true,
            // The next server begins anew.
            Err(RequestError::Disconnected) => false,
            Err(RequestError::Denied | RequestError::TooLarge { .. }) => return false,
        };
        if !unanswered {
            *since = None;
            return false;
        }
        let too_long = since.get_or_insert(began).elapsed() >= LEAVE_AFTER;
        if too_long {
            *since = None;
        }
        too_long
    }
}

/// Whether an answer says only that nobody is there to give one.
fn is_leaderless(payload: &[u8]) -> bool {
    match read_answer::<IgnoredAny>(payload) {
        Err(ApiError::Server(error)) => matches!(error.err_code, NO_META_LEADER | NOT_LEADER),
        Ok(_) | Err(_) => false,
    }
}

impl ApiError {
    /// Whether the servers of a cluster may answer the same request once they have elected a leader.
    fn passes(&self) -> bool {
        match self {
            Self::Request { source, .. } => matches!(
                source,
                RequestError::NoResponders | RequestError::TimedOut | RequestError::Disconnected
            ),
            Self::Server(error) => matches!(
                error.err_code,
                NO_META_LEADER | NOT_LEADER | NO_SUITABLE_PEERS
            ),
            Self::Encode(_) | Self::Decode(_) => false,
        }
    }
}

impl Client {
    /// Goes to another server if this one has left everything unanswered for too long, and there are others.
    pub(super) async fn judge(
        &self,
        connection: &Connection,
        answer: &Result<Message, RequestError>,
        began: Instant,
    ) {
        if self.shared.silence.note(answer, began) {
            // Boxed: a rare path must not make every request's future as large as its own.
            Box::pin(self.leave(&connection.nats)).await;
        }
    }

    async fn leave(&self, nats: &async_nats::Client) {
        let pool = nats.server_pool().await;
        if pool.is_ok_and(|pool| pool.len() < 2) {
            return;
        }
        let left = nats.server_info();
        tracing::warn!(
            server = left.server_name,
            "server answers nothing; trying another one"
        );
        for _ in 0..PICKS {
            let mut connected = self.signals().connected();
            connected.mark_unchanged();
            if nats.force_reconnect().await.is_err()
                || timeout(ARRIVE_WITHIN, connected.changed()).await.is_err()
                || nats.server_info().server_id != left.server_id
            {
                return;
            }
        }
    }

    /// Asks again, for up to 30 s, while the servers of a cluster elect who answers. A single server elects nobody.
    pub(crate) async fn patiently<T, F>(&self, ask: impl Fn() -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match ask().await {
                Err(err) if err.passes() && self.is_of_a_cluster() && Instant::now() < give_up => {
                    tracing::debug!(error = %crate::Chain(&err), "asking again");
                }
                answer => return answer,
            }
            let delay = Duration::from_millis(250);
            sleep(delay + jitter(delay)).await; // until the next question
        }
    }

    fn is_of_a_cluster(&self) -> bool {
        self.nats().server_info().cluster.is_some()
    }
}
