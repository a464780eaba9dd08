use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{ClientError, Event, ServerError};
use tokio::sync::watch;

use crate::health::{Health, Severity};

/// How many violations are remembered: more than the requests that can wait for one.
const REMEMBERED: usize = 1024;

const REFUSED: &str =
    "server refuses the credentials; trying them again, and new ones once they are there";

/// What the connection says beside its answers. The client's callback only notes; others wait.
pub(crate) struct Signals {
    /// How often the connection was made.
    connected: watch::Sender<u64>,
    /// When it was lost lately, and how often in all.
    losses: Mutex<VecDeque<Instant>>,
    lost: watch::Sender<u64>,
    /// Subjects that were denied, and how many there were in all.
    violations: Mutex<VecDeque<String>>,
    violated: watch::Sender<u64>,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            connected: watch::Sender::new(0),
            losses: Mutex::default(),
            lost: watch::Sender::new(0),
            violations: Mutex::default(),
            violated: watch::Sender::new(0),
        }
    }
}

impl Signals {
    pub(super) fn note(&self, event: &Event, health: &Health) {
        match event {
            Event::Connected => {
                health.clear("nats");
                self.connected.send_modify(|count| *count += 1);
            }
            Event::Disconnected => {
                health.report("nats", Severity::NotReady, "connection lost; reconnecting");
                let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
                losses.push_back(Instant::now());
                if losses.len() > 8 {
                    losses.pop_front();
                }
                self.lost.send_modify(|count| *count += 1);
            }
            Event::Closed => {
                tracing::debug!("connection closed");
            }
            Event::ServerError(ServerError::Other(text)) => self.note_server_error(text),
            Event::ServerError(ServerError::AuthorizationViolation) => {
                health.report("nats", Severity::NotReady, REFUSED);
            }
            Event::ClientError(err) => {
                tracing::warn!(error = %err, "connection trouble");
                if let Some(message) = refused(err) {
                    health.report("nats", Severity::NotReady, message);
                }
            }
            Event::LameDuckMode
            | Event::Draining
            | Event::SlowConsumer(_)
            | Event::ServerError(ServerError::SlowConsumer(_)) => {
                tracing::info!(%event, "connection event");
            }
        }
    }

    fn note_server_error(&self, text: &str) {
        let Some(subject) = violated_subject(text) else {
            tracing::warn!(error = text, "server error");
            return;
        };
        tracing::warn!(subject, "server denies a subject");
        let mut violations = self
            .violations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        violations.push_back(subject.to_owned());
        if violations.len() > REMEMBERED {
            violations.pop_front();
        }
        self.violated.send_modify(|count| *count += 1);
    }

    /// How many violations there have been: the point from which [`violation`](Self::violation) looks.
    pub(crate) fn violations_so_far(&self) -> u64 {
        *self.violated.borrow()
    }

    /// Waits until the server denies `subject`, counted from `since`.
    pub(crate) async fn violation(&self, subject: &str, since: u64) {
        let mut violated = self.violated.subscribe();
        loop {
            let count = *violated.borrow_and_update();
            let new = usize::try_from(count - since).unwrap_or(usize::MAX);
            let denied = self
                .violations
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .rev()
                .take(new)
                .any(|denied| denied == subject);
            if denied {
                return;
            }
            if violated.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Notified each time the connection is made.
    pub(crate) fn connected(&self) -> watch::Receiver<u64> {
        self.connected.subscribe()
    }

    /// How often the connection was lost in all: the point from which [`loss`](Self::loss) looks.
    pub(crate) fn losses_so_far(&self) -> u64 {
        *self.lost.borrow()
    }

    /// Waits until the connection is lost, counted from `since`.
    pub(crate) async fn loss(&self, since: u64) {
        // The sender lives as long as this.
        let _ = self.lost.subscribe().wait_for(|count| *count > since).await;
    }

    /// How often the connection was lost within the last `span`.
    pub(crate) fn losses_within(&self, span: Duration) -> usize {
        self.losses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|at| at.elapsed() < span)
            .count()
    }
}

/// What keeps the client from reconnecting, if it is who we say we are: it has words for that, and no code.
fn refused(err: &ClientError) -> Option<&'static str> {
    match err {
        ClientError::Other(words) if words == "authorization violation" => Some(REFUSED),
        ClientError::Other(words) if words == "failed signing nonce" => {
            Some("credentials cannot be read; trying again")
        }
        ClientError::Other(_) | ClientError::MaxReconnects | ClientError::ServerNotInPool => None,
    }
}

/// The subject of `Permissions Violation for Publish to "x"`.
fn violated_subject(text: &str) -> Option<&str> {
    if !text.starts_with("Permissions Violation for Publish") {
        return None;
    }
    let (_, rest) = text.split_once('"')?;
    rest.split_once('"').map(|(subject, _)| subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_subject_is_read_from_the_server_words() {
        assert_eq!(
            violated_subject("Permissions Violation for Publish to \"order:created.1\""),
            Some("order:created.1")
        );
        assert_eq!(violated_subject("Maximum Connections Exceeded"), None);
    }

    #[tokio::test]
    async fn loss_before_the_request_is_not_its_own() {
        let (signals, health) = (Signals::default(), Health::new());
        signals.note(&Event::Disconnected, &health);
        let waiting = signals.loss(signals.losses_so_far());
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        signals.note(&Event::Connected, &health);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        signals.note(&Event::Disconnected, &health);
        waiting.await;
    }

    #[tokio::test]
    async fn violation_before_the_request_does_not_deny_it() {
        let signals = Signals::default();
        signals.note_server_error("Permissions Violation for Publish to \"a\"");
        let since = signals.violations_so_far();
        let waiting = signals.violation("a", since);
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        signals.note_server_error("Permissions Violation for Publish to \"b\"");
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        signals.note_server_error("Permissions Violation for Publish to \"a\"");
        waiting.await;
    }
}
