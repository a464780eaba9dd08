use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use tower_service::Service as _;

use super::*;

async fn call(router: &Router, request: Request<Body>) -> (u16, Value) {
    let response = router.clone().call(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn get_from(router: &Router, path: &str) -> (u16, Value) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    call(router, request).await
}

fn panics() -> &'static str {
    panic!("a bug")
}

#[tokio::test]
async fn process_is_ready_unless_a_trouble_says_otherwise() {
    let health = Health::new();
    let router = application(Router::new(), Readiness::of(&health));

    let well = get_from(&router, "/readyz").await;
    health.report("TICKETS", Severity::Warning, "80 % full");
    let warned = get_from(&router, "/readyz").await;
    health.report("NATS", Severity::NotReady, "not connected");
    let not_ready = get_from(&router, "/readyz").await;

    let warning = json!({ "severity": "warning", "message": "80 % full" });
    let trouble = json!({ "severity": "not ready", "message": "not connected" });
    assert_eq!(well, (200, json!({ "ready": true, "troubles": {} })));
    assert_eq!(
        warned,
        (
            200,
            json!({ "ready": true, "troubles": { "TICKETS": warning } })
        )
    );
    assert_eq!(
        not_ready,
        (
            503,
            json!({ "ready": false, "troubles": { "TICKETS": warning, "NATS": trouble } })
        )
    );
    assert_eq!(get_from(&router, "/healthz").await.0, 200);
}

#[tokio::test]
async fn what_no_route_answers_has_the_error_body() {
    let router = application(
        Router::new().route("/panics", get(async || panics())),
        Readiness::of(&Health::new()),
    );
    let message = |message: &str| json!({ "errors": [{ "message": message }] });

    let unknown = get_from(&router, "/nothing").await;
    let post = Request::post("/healthz").body(Body::empty()).unwrap();
    let method = call(&router, post).await;
    let panicked = get_from(&router, "/panics").await;

    assert_eq!(unknown, (404, message("no such route")));
    assert_eq!(method, (405, message("method not allowed here")));
    assert_eq!(panicked, (500, message("internal error")));
}
