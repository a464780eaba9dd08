use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;

use super::ApiError;
#[cfg(feature = "sql")]
use crate::Database;
use crate::health::{Health, Severity};

/// A service's routes, and what every service answers beside them.
///
/// `/healthz`: 200 while the process runs. `/readyz`: 200 if it can do its work, else 503; either way
/// what is not as it should be. What is on no route is 404, another method 405, a handler that
/// panics 500: each with the error body.
pub fn application(routes: Router, readiness: Readiness) -> Router {
    let process = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
        .with_state(readiness);
    routes
        .merge(process)
        .fallback(async || ApiError::NotFound { what: "route" })
        .method_not_allowed_fallback(async || ApiError::WrongMethod)
        .layer(CatchPanicLayer::custom(panicked))
}

/// What `/readyz` asks.
#[derive(Debug, Clone)]
pub struct Readiness {
    health: Health,
    #[cfg(feature = "sql")]
    database: Option<Database>,
}

impl Readiness {
    /// Ready if no trouble is known that keeps the process from being ready.
    #[must_use]
    pub fn of(health: &Health) -> Self {
        Self {
            health: health.clone(),
            #[cfg(feature = "sql")]
            database: None,
        }
    }

    /// And if the database answers.
    #[cfg(feature = "sql")]
    #[must_use]
    pub fn and(mut self, database: &Database) -> Self {
        self.database = Some(database.clone());
        self
    }

    #[cfg(feature = "sql")]
    async fn ask_database(&self) {
        use std::time::Duration;

        use tokio::time::timeout;

        /// How long the database may take to answer.
        const PING_DEADLINE: Duration = Duration::from_secs(2);

        let Some(database) = &self.database else {
            return;
        };
        match timeout(PING_DEADLINE, database.ping()).await {
            Ok(Ok(())) => self.health.clear("database"),
            Ok(Err(err)) => self.report_database(&err),
            Err(elapsed) => self.report_database(&elapsed),
        }
    }

    #[cfg(feature = "sql")]
    fn report_database(&self, err: &(dyn std::error::Error + 'static)) {
        let message = crate::Chain(err).to_string();
        self.health.report("database", Severity::NotReady, message);
    }

    #[cfg(not(feature = "sql"))]
    #[expect(
        clippy::unused_async,
        reason = "there is a database with feature `sql`"
    )]
    async fn ask_database(&self) {}
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    readiness.ask_database().await;
    let troubles = readiness.health.troubles();
    let is_ready = troubles
        .values()
        .all(|trouble| trouble.severity < Severity::NotReady);
    let report = Report {
        ready: is_ready,
        troubles: troubles
            .into_iter()
            .map(|(part, trouble)| {
                let severity = match trouble.severity {
                    Severity::Warning => "warning",
                    Severity::NotReady => "not ready",
                };
                (
                    part,
                    Reported {
                        severity,
                        message: trouble.message,
                    },
                )
            })
            .collect(),
    };
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}

#[derive(Serialize)]
struct Report {
    ready: bool,
    troubles: BTreeMap<String, Reported>,
}

#[derive(Serialize)]
struct Reported {
    severity: &'static str,
    message: String,
}

/// The panic itself was reported by the process's panic hook.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::Internal("handler panicked".into()).into_response()
}

#[cfg(test)]
mod tests;
