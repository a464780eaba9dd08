//! What a client does while the servers of a cluster elect who answers, and when its own server has lost the others.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Message;
use async_nats::connection::State;
use serde::de::IgnoredAny;
use tokio::time::{Instant, sleep, timeout};

use super::{ApiError, Client, Connection, RequestError, ServerError};
use crate::jitter::jitter;

/// How long a server may answer nothing before the client tries another one: longer than an election takes.
const LEAVE_AFTER: Duration = Duration::from_secs(10);
/// How long it may take to be connected to another server: a request that waits for this has no answer, and says so.
const ARRIVE_WITHIN: Duration = Duration::from_secs(5);
/// How often another server is looked for at once: the client picks one by chance, and may pick the same.
const PICKS: u32 = 5;
/// How long what needs a leader is asked again.
const PATIENCE: Duration = Duration::from_secs(30);

/// No server leads the others, as far as the one that was asked knows.
const NO_META_LEADER: u64 = 10008;
/// The one that was asked does not lead, and knows none that does.
const NOT_LEADER: u64 = 10009;
/// An earlier try of the same publish is neither stored nor lost yet, for the leader does not hear from the others.
pub(crate) const DUPLICATE_IN_PROCESS: u64 = 10158;
/// Too few servers are known yet for as many replicas.
const NO_SUITABLE_PEERS: u64 = 10005;

/// Since when the server has left everything unanswered. A server that is cut off from its cluster keeps its clients,
/// and leads them nowhere.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<Option<Instant>>);

impl Silence {
    /// Notes what came of a request that began then. Whether the silence is too long.
    fn note(&self, answer: &Result<Message, RequestError>, began: Instant) -> bool {
        let mut since = self.since();
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

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer of the JetStream API says of who leads.
#[derive(serde::Deserialize)]
struct Leadership {
    error: Option<ServerError>,
    cluster: Option<Leader>,
}

#[derive(serde::Deserialize)]
struct Leader {
    leader: Option<IgnoredAny>,
}

/// Whether an answer says only that there is none: nobody leads, or who does is alone. What a server that follows nobody
/// tells of its stream is what it was when it lost the others.
fn is_leaderless(payload: &[u8]) -> bool {
    match serde_json::from_slice(payload) {
        Ok(Leadership {
            error: Some(error), ..
        }) => matches!(
            error.err_code,
            NO_META_LEADER | NOT_LEADER | DUPLICATE_IN_PROCESS
        ),
        Ok(Leadership {
            cluster: Some(cluster),
            ..
        }) => cluster.leader.is_none(),
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
            let left = Box::pin(self.leave(&connection.nats));
            if timeout(ARRIVE_WITHIN, left).await.is_err() {
                tracing::debug!("not connected to another server yet");
            }
        }
    }

    /// Notes that something else has had no answer since then: if the next request has none either, the server is left.
    pub(crate) fn unheard(&self, since: Instant) {
        self.shared.silence.since().get_or_insert(since);
    }

    async fn leave(&self, nats: &async_nats::Client) {
        // Who has lost its server is on the way to another already, and answers no question until it is there.
        if nats.connection_state() != State::Connected {
            return;
        }
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
                || connected.changed().await.is_err()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::alone;

    const NOBODY: Result<Message, RequestError> = Err(RequestError::NoResponders);

    fn long_ago() -> Instant {
        Instant::now().checked_sub(LEAVE_AFTER).unwrap()
    }

    #[test]
    fn server_is_left_once_it_has_answered_nothing_for_long() {
        let silence = Silence::default();

        assert!(!silence.note(&NOBODY, Instant::now()), "the first");
        *silence.since() = Some(long_ago());
        assert!(silence.note(&NOBODY, Instant::now()));
        assert!(!silence.note(&NOBODY, Instant::now()), "once");
    }

    #[test]
    fn lost_connection_and_denied_subject_are_no_silence() {
        let silence = Silence::default();
        *silence.since() = Some(long_ago());

        assert!(!silence.note(&Err(RequestError::Denied), long_ago()));
        assert!(silence.since().is_some(), "says nothing of the others");
        assert!(!silence.note(&Err(RequestError::Disconnected), long_ago()));
        assert!(silence.since().is_none(), "the next server begins anew");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn request_of_who_has_lost_its_server_comes_to_an_end() {
        let client = alone().await;
        let connection = client.connection();

        let judged = client.judge(&connection, &NOBODY, long_ago());

        let judged = timeout(2 * ARRIVE_WITHIN, judged).await;
        assert!(judged.is_ok(), "waits for a server to come back");
    }

    #[test]
    fn answer_that_nobody_leads_is_none() {
        let refused = |code: u64| format!(r#"{{"error":{{"code":503,"err_code":{code}}}}}"#);
        assert!(is_leaderless(refused(NO_META_LEADER).as_bytes()));
        assert!(is_leaderless(refused(NOT_LEADER).as_bytes()));
        assert!(is_leaderless(refused(DUPLICATE_IN_PROCESS).as_bytes()));
        assert!(is_leaderless(
            br#"{"config":{},"cluster":{"name":"c","replicas":[]}}"#
        ));
        assert!(!is_leaderless(
            br#"{"config":{},"cluster":{"name":"c","leader":"a"}}"#
        ));
        assert!(!is_leaderless(refused(10059).as_bytes()));
        assert!(!is_leaderless(br#"{"stream":"S","seq":1}"#));
        assert!(!is_leaderless(b""), "a confirmed acknowledgement");
    }
}
