use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{HeaderMap, Message, Request, Subject};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use crate::health::{Health, Severity};
use crate::jitter::jitter;

#[cfg(test)]
#[cfg(feature = "sqlite")]
pub(crate) mod answering;
mod config;
mod credentials;
mod election;
mod signals;

pub(crate) use config::inbox_prefix;
pub use config::{ClientConfig, ConfigError};
pub(crate) use election::DUPLICATE_IN_PROCESS;
use election::Silence;
pub(crate) use signals::Signals;

/// The oldest server that has what is used here: scheduled messages came with it (ADR-51).
const OLDEST_SERVER: (i64, i64, i64) = (2, 12, 0);
/// How long a request to the server may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to NATS, shared by all that publish and listen in a process.
///
/// It reconnects for ever, and is rebuilt when a message kills its task. Cheap to clone; clones
/// share the connection.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    config: ClientConfig,
    current: RwLock<Arc<Connection>>,
    rebuilding: Arc<tokio::sync::Mutex<()>>,
    signals: Arc<Signals>,
    silence: Silence,
    health: Health,
}

/// One life of the connection's task.
pub(crate) struct Connection {
    pub(crate) nats: async_nats::Client,
    pub(crate) generation: u64,
}

/// Connects to the servers of `config`.
///
/// One attempt, at most 5 s a server: whoever starts before NATS does is restarted by what
/// started it. From then on the client reconnects for ever, with jitter, and re-reads credentials each time.
///
/// # Errors
///
/// [`ConnectError`] if no server answers, the credentials are refused or cannot be read, or the
/// server is older than 2.12.
pub async fn build_client(config: &ClientConfig) -> Result<Client, ConnectError> {
    let signals = Arc::new(Signals::default());
    let health = Health::new();
    let nats = connect(config, &signals, &health).await?;
    let (major, minor, patch) = OLDEST_SERVER;
    if !nats.is_server_compatible(major, minor, patch) {
        return Err(ConnectError::TooOld {
            version: nats.server_info().version.clone(),
        });
    }
    let connection = Connection {
        nats,
        generation: 0,
    };
    Ok(Client {
        shared: Arc::new(Shared {
            config: config.clone(),
            current: RwLock::new(Arc::new(connection)),
            rebuilding: Arc::default(),
            signals,
            silence: Silence::default(),
            health,
        }),
    })
}

async fn connect(
    config: &ClientConfig,
    signals: &Arc<Signals>,
    health: &Health,
) -> Result<async_nats::Client, ConnectError> {
    let signals = Arc::clone(signals);
    let health = health.clone();
    let servers = config.servers();
    config
        .options()?
        .event_callback(move |event| {
            signals.note(&event, &health);
            std::future::ready(())
        })
        .reconnect_delay_callback(reconnect_delay)
        .connect(config.addresses()?)
        .await
        .map_err(|err| ConnectError::from_nats(&servers, &err))
}

/// Doubles from 50 ms to 4 s, the upper half of it left to chance so that replicas do not return as one.
fn reconnect_delay(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.min(7)).unwrap_or(7);
    let full = (Duration::from_millis(50) * 2_u32.pow(doublings)).min(Duration::from_secs(4));
    full / 2 + jitter(full / 2)
}

/// Connects anew, for as long as somebody has the client.
async fn rebuild(shared: &Weak<Shared>, generation: u64) {
    let mut attempt = 0;
    while let Some(shared) = shared.upgrade() {
        let health = &shared.health;
        health.report(
            "nats",
            Severity::NotReady,
            "connection task died; rebuilding it",
        );
        match connect(&shared.config, &shared.signals, health).await {
            Ok(nats) => {
                health.clear("nats");
                let current = shared.current.write();
                *current.unwrap_or_else(PoisonError::into_inner) =
                    Arc::new(Connection { nats, generation });
                return;
            }
            Err(err) => {
                tracing::warn!(error = %crate::Chain(&err), "connection not rebuilt yet");
            }
        }
        drop(shared);
        tokio::time::sleep(reconnect_delay(attempt)).await; // back-off between attempts
        attempt += 1;
    }
}

impl Client {
    /// What keeps this process from being ready: the connection's own troubles, and those of every
    /// runner and relay that uses it.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.shared.health
    }

    /// The connection underneath, for what this crate does not cover. It changes when the
    /// connection is rebuilt: ask again rather than keep it.
    #[must_use]
    pub fn nats(&self) -> async_nats::Client {
        self.connection().nats.clone()
    }

    /// Sends what is queued, at most 2 s, and lets go of the connection. Call it last: what is
    /// dropped without it may never reach the server.
    pub async fn close(self) {
        if timeout(Duration::from_secs(2), self.nats().flush())
            .await
            .is_err()
        {
            tracing::warn!("NATS was out of reach at the end; unsent acknowledgements come again");
        }
    }

    pub(crate) fn connection(&self) -> Arc<Connection> {
        Arc::clone(
            &self
                .shared
                .current
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(crate) fn signals(&self) -> &Signals {
        &self.shared.signals
    }

    /// Replaces the connection if its task has died. Returns whether it had.
    ///
    /// The task dies of a message whose header has a lone carriage return; the client then says
    /// that it is connected, and answers nothing. Whoever waits for this may give up: it goes on.
    pub(crate) async fn revive(&self, seen: &Connection) -> bool {
        let rebuilding = Arc::clone(&self.shared.rebuilding).lock_owned().await;
        if self.connection().generation != seen.generation {
            return true;
        }
        let flushed = timeout(Duration::from_millis(200), seen.nats.flush()).await;
        let dead = matches!(flushed, Ok(Err(_)));
        if !dead {
            return false;
        }
        let shared = Arc::downgrade(&self.shared);
        let generation = seen.generation + 1;
        let rebuilt = tokio::spawn(async move {
            rebuild(&shared, generation).await;
            drop(rebuilding);
        });
        // It panics in no case; and if it did, the next one to see the dead connection tries again.
        rebuilt.await.is_ok()
    }

    /// One request, one answer, within 5 s, and 5 s more for a server that is left. A denied subject and a lost
    /// connection are said at once, not when the time is over: a server that is gone does not answer any more, and its
    /// successor never heard the question.
    pub(crate) async fn request(
        &self,
        subject: impl Into<Subject>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, RequestError> {
        let began = Instant::now();
        let connection = self.connection();
        // The client's own time begins when the request has a place in its queue, which is full at times.
        let answer = timeout(
            REQUEST_TIMEOUT,
            self.request_at_length(&connection, subject.into(), headers, payload),
        )
        .await
        .unwrap_or(Err(RequestError::TimedOut));
        self.judge(&connection, &answer, began).await;
        answer
    }

    async fn request_at_length(
        &self,
        connection: &Connection,
        subject: Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, RequestError> {
        let violations = self.signals().violations_so_far();
        let losses = self.signals().losses_so_far();
        let mut request = Request::new().payload(payload).timeout(None);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let answer = connection.nats.send_request(subject.clone(), request);
        let answer = tokio::select! {
            biased;
            answer = answer => answer,
            () = self.signals().violation(&subject, violations) => return Err(RequestError::Denied),
            () = self.signals().loss(losses) => return Err(RequestError::Disconnected),
        };
        match answer {
            Ok(message) => Ok(message),
            Err(err) => match err.kind() {
                RequestErrorKind::NoResponders => Err(RequestError::NoResponders),
                RequestErrorKind::TimedOut => Err(RequestError::TimedOut),
                RequestErrorKind::MaxPayloadExceeded => Err(RequestError::TooLarge {
                    limit: connection.nats.max_payload(),
                }),
                RequestErrorKind::InvalidSubject | RequestErrorKind::Other => {
                    // Boxed: a rare path must not make every request's future as large as its own.
                    Box::pin(self.revive(connection)).await;
                    Err(RequestError::Disconnected)
                }
            },
        }
    }

    /// One request to the JetStream API.
    pub(crate) async fn api<T: DeserializeOwned>(
        &self,
        subject: &str,
        body: &impl Serialize,
    ) -> Result<T, ApiError> {
        let payload = serde_json::to_vec(body).map_err(ApiError::Encode)?;
        let message = self
            .request(format!("$JS.API.{subject}"), None, payload.into())
            .await
            .map_err(|source| ApiError::Request {
                subject: subject.to_owned(),
                source,
            })?;
        read_answer(&message.payload)
    }
}

/// Reads an answer of the JetStream API: what was asked for, or the server's error.
pub(crate) fn read_answer<T: DeserializeOwned>(payload: &[u8]) -> Result<T, ApiError> {
    match read_refusal(payload) {
        Ok(Some(error)) => Err(ApiError::Server(error)),
        Ok(None) => serde_json::from_slice(payload).map_err(ApiError::Decode),
        Err(err) => Err(ApiError::Decode(err)),
    }
}

/// The error that an answer of the JetStream API tells of. `None`: it is what was asked for.
fn read_refusal(payload: &[u8]) -> Result<Option<ServerError>, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: Option<ServerError>,
    }
    serde_json::from_slice(payload).map(|Refusal { error }| error)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The configuration cannot be used.
    #[error("configuration of NATS cannot be used")]
    Config(#[from] ConfigError),
    /// No server answered, or not as a NATS server does.
    #[error("no NATS server answers at {servers}: {reason}")]
    Unreachable {
        /// Where one should be.
        servers: String,
        /// What happened instead.
        reason: String,
    },
    /// The server does not accept who we say we are.
    #[error("NATS server at {servers} refuses the credentials")]
    Refused {
        /// Where the server is.
        servers: String,
    },
    /// The server lacks what is used here.
    #[error("NATS server is {version}, and 2.12 or newer is needed")]
    TooOld {
        /// What the server says of itself.
        version: String,
    },
}

impl ConnectError {
    fn from_nats(servers: &str, err: &async_nats::ConnectError) -> Self {
        use async_nats::ConnectErrorKind as Kind;
        let servers = servers.to_owned();
        match err.kind() {
            Kind::AuthorizationViolation | Kind::Authentication => Self::Refused { servers },
            Kind::ServerParse
            | Kind::Dns
            | Kind::TimedOut
            | Kind::Tls
            | Kind::Io
            | Kind::MaxReconnects => Self::Unreachable {
                servers,
                reason: err.to_string(),
            },
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// Nobody takes the subject now. Nothing happened.
    #[error("nobody takes the subject")]
    NoResponders,
    /// It may have happened.
    #[error("no answer within {REQUEST_TIMEOUT:?}")]
    TimedOut,
    /// It may have happened.
    #[error("connection was lost")]
    Disconnected,
    /// This user may not. Nothing happened.
    #[error("not permitted")]
    Denied,
    /// Nothing was sent.
    #[error("larger than the {limit} bytes the server takes")]
    TooLarge { limit: usize },
}

/// Why a request to the JetStream API failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("request could not be encoded")]
    Encode(#[source] serde_json::Error),
    #[error("request {subject} failed")]
    Request {
        subject: String,
        #[source]
        source: RequestError,
    },
    #[error("answer could not be read")]
    Decode(#[source] serde_json::Error),
    #[error(transparent)]
    Server(ServerError),
}

impl ApiError {
    /// The server's error code, if the server answered with one.
    pub(crate) fn code(&self) -> Option<u64> {
        match self {
            Self::Server(error) => Some(error.err_code),
            Self::Encode(_) | Self::Request { .. } | Self::Decode(_) => None,
        }
    }

    /// Whether the server is away, or slow, and has refused nothing.
    pub(crate) fn is_silence(&self) -> bool {
        match self {
            Self::Request { source, .. } => match source {
                RequestError::TimedOut | RequestError::Disconnected => true,
                RequestError::NoResponders
                | RequestError::Denied
                | RequestError::TooLarge { .. } => false,
            },
            Self::Encode(_) | Self::Decode(_) | Self::Server(_) => false,
        }
    }
}

/// An error that the JetStream API answered with.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, thiserror::Error)]
#[error("{description} (error {err_code})")]
pub(crate) struct ServerError {
    #[serde(default)]
    pub(crate) code: u64,
    #[serde(default)]
    pub(crate) err_code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A client whose only server is gone.
    pub(crate) async fn alone() -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let info =
                r#"INFO {"server_id":"A","version":"2.15.0","headers":true,"max_payload":1024}"#;
            write!(stream, "{info}\r\n").unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().unwrap().unwrap() != "PING" {}
            stream.write_all(b"PONG\r\n").unwrap();
        });
        let client = build_client(&ClientConfig::new("test").url(&url))
            .await
            .unwrap();
        server.join().unwrap();
        client.signals().loss(0).await;
        client
    }

    #[test]
    fn reconnect_delay_grows_to_a_cap() {
        for attempt in [0, 1, 6, 7, 1000, usize::MAX] {
            let delay = reconnect_delay(attempt);
            assert!(delay >= Duration::from_millis(25), "{attempt}: {delay:?}");
            assert!(delay <= Duration::from_secs(4), "{attempt}: {delay:?}");
        }
    }
}
