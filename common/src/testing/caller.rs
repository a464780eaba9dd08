use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;
use tower_service::Service as _;

use crate::http::JwtKey;

/// Calls the routes of a service without a socket, as nobody or as a user.
///
/// ```
/// # use std::time::Duration;
/// use axum::routing::get;
/// use axum::Router;
/// use common::testing::Caller;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let nobody = Caller::new(Router::new().route("/", get(async || "hello")));
/// let reply = nobody.get("/").await;
/// assert_eq!(reply.status, 200);
/// assert_eq!(reply.text, "hello");
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Caller {
    router: Router,
    token: Option<String>,
}

/// What a route answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
    /// The body, if it is JSON, else null.
    pub json: Value,
}

impl Caller {
    /// Nobody, who calls these routes.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self {
            router,
            token: None,
        }
    }

    /// A user, with a token of an hour.
    ///
    /// # Panics
    ///
    /// If there cannot be a user of this name.
    #[must_use]
    #[track_caller]
    pub fn signed_in(&self, user: &str, key: &JwtKey) -> Self {
        let hour = std::time::Duration::from_hours(1);
        self.with_token(&key.mint(&super::sample::user(user), hour))
    }

    /// Whoever has this token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            router: self.router.clone(),
            token: Some(token.to_owned()),
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, Body::empty()).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path, Body::empty()).await
    }

    /// POST, of a body that is declared as JSON and need not be.
    pub async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        self.call(Method::POST, path, body.into()).await
    }

    /// PUT, of a body that is declared as JSON and need not be.
    pub async fn put(&self, path: &str, body: impl Into<Body>) -> Reply {
        self.call(Method::PUT, path, body.into()).await
    }

    async fn call(&self, method: Method, path: &str, body: Body) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        match request {
            Ok(request) => self.send(request).await,
            Err(err) => panic!("`{path}` is no path: {err}"),
        }
    }

    /// Any request.
    ///
    /// # Panics
    ///
    /// If the token is no value of a header, or the body of the reply breaks off.
    pub async fn send(&self, mut request: Request<Body>) -> Reply {
        if let Some(token) = &self.token {
            let Ok(value) = format!("Bearer {token}").parse() else {
                panic!("token is no value of a header");
            };
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let Ok(response) = self.router.clone().call(request).await;
        let (head, body) = response.into_parts();
        let body = match to_bytes(body, usize::MAX).await {
            Ok(body) => body,
            Err(err) => panic!("reply broke off: {err}"),
        };
        Reply {
            status: head.status,
            headers: head.headers,
            json: serde_json::from_slice(&body).unwrap_or_default(),
            text: String::from_utf8_lossy(&body).into_owned(),
        }
    }
}

impl Reply {
    /// Asserts that the request was refused with this status, and that the body says so in the form
    /// that every refusal has. `field` is the field it blames.
    ///
    /// # Panics
    ///
    /// If it was not.
    #[track_caller]
    pub fn assert_refused(&self, status: u16, field: Option<&str>) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let error = &self.json["errors"][0];
        let message = error["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "no message in {}", self.text);
        assert_eq!(error["field"].as_str(), field, "{}", self.text);
    }
}
