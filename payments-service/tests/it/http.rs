//! `POST /api/payments`: each status, and the body that goes with it.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use common::Health;
use common::events::OrderId;
use common::http::{JwtKey, Readiness, Server, application};
use payments_service::{Cashier, PaymentGateway, router};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use crate::bank::Road;
use crate::books::Books;
use crate::shop::{PATIENT, Shop, alice, pay};

const KEY: &str = "a key of at least thirty-two bytes";

fn application_of<G: PaymentGateway>(cashier: &Cashier<G>) -> Router {
    let key = JwtKey::new(KEY).unwrap();
    application(router(cashier, &key), Readiness::of(&Health::new()))
}

fn token(user: &str) -> String {
    let user = user.parse().unwrap();
    let key = JwtKey::new(KEY).unwrap();
    key.mint(&user, Duration::from_hours(1))
}

/// Sends the body as alice.
async fn post(application: &Router, body: impl Into<Body>) -> (StatusCode, Value) {
    post_as(application, &token("alice"), body).await
}

async fn post_as(application: &Router, token: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::post("/api/payments")
        .header(CONTENT_TYPE, "application/json")
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(body.into())
        .unwrap();
    send(application, request).await
}

async fn send(application: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = application.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

fn body(order: OrderId, token: &str) -> String {
    json!({ "token": token, "orderId": order }).to_string()
}

fn refusal(message: &str) -> Value {
    json!({ "errors": [{ "message": message }] })
}

#[tokio::test]
async fn payment_is_201_with_its_id() {
    let shop = Shop::open().await;
    let order = shop.order().await;

    let (status, answer) = post(&application_of(&shop.cashier()), body(order, "tok_visa")).await;

    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(answer, json!({ "id": shop.published().await[0]["id"] }));
    assert_eq!(shop.books(order).await, Books::paid());
}

#[tokio::test]
async fn declined_card_is_402() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let application = application_of(&shop.cashier());

    for card in ["tok_chargeDeclined", "tok_mystery"] {
        let (status, answer) = post(&application, body(order, card)).await;
        assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
        assert_eq!(answer, refusal("card was declined"));
    }
}

#[tokio::test]
async fn request_of_nobody_is_401_whatever_it_says() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let application = application_of(&shop.cashier());
    let other_key = JwtKey::new("another key of thirty-two bytes or so").unwrap();
    let key = JwtKey::new(KEY).unwrap();
    // {"alg":"none"} and {"sub":"alice","exp":9999999999}
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OX0.";

    for token in [
        "",
        "nonsense",
        unsigned,
        &other_key.mint(&alice(), Duration::from_hours(1)),
        &key.mint(&alice(), Duration::ZERO),
    ] {
        for body in [body(order, "tok_visa"), "{".to_owned()] {
            let (status, answer) = post_as(&application, token, body).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{token}");
            assert_eq!(answer, refusal("not signed in"));
        }
    }
    assert_eq!(shop.books(order).await, Books::untouched());
}

#[tokio::test]
async fn bad_body_is_400_and_names_the_field() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let application = application_of(&shop.cashier());
    let long = "t".repeat(256);

    for (body, field) in [
        (json!({ "orderId": order }), Some("token")),
        (json!({ "token": "tok_visa" }), Some("orderId")),
        (json!({ "token": 7, "orderId": order }), Some("token")),
        (json!({ "token": null, "orderId": order }), Some("token")),
        (json!({ "token": "", "orderId": order }), Some("token")),
        (json!({ "token": "a b", "orderId": order }), Some("token")),
        (
            json!({ "token": "a\u{0}", "orderId": order }),
            Some("token"),
        ),
        (json!({ "token": long, "orderId": order }), Some("token")),
        (
            json!({ "token": "tok_visa", "orderId": 7 }),
            Some("orderId"),
        ),
        (
            json!({ "token": "tok_visa", "orderId": "7" }),
            Some("orderId"),
        ),
        (
            // A UUID, and none of ours.
            json!({ "token": "tok_visa", "orderId": "0198c0de-0000-4000-8000-00000000000a" }),
            Some("orderId"),
        ),
        (json!({}), Some("token")),
        (json!([]), None),
        (json!(["tok_visa", order]), None),
        (json!(null), None),
    ] {
        let (status, answer) = post(&application, body.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        let error = &answer["errors"][0];
        assert_eq!(
            error.get("field").and_then(Value::as_str),
            field,
            "{answer}"
        );
        assert!(error["message"].is_string(), "{answer}");
    }
    for body in [
        "",
        "{",
        "{\"token\":\"tok_visa\"",
        "\u{feff}{}",
        "token=tok_visa",
    ] {
        let (status, _) = post(&application, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body:?}");
    }
    assert_eq!(shop.books(order).await, Books::untouched());
}

#[tokio::test]
async fn refusal_of_a_token_does_not_repeat_it() {
    let shop = Shop::open().await;
    let application = application_of(&shop.cashier());

    let secret = "4242 4242 4242 4242";
    let (status, answer) = post(&application, body(OrderId::new(), secret)).await;

    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(!answer.to_string().contains("4242"), "{answer}");
}

#[tokio::test]
async fn body_over_the_limit_is_413_and_other_types_415() {
    let shop = Shop::open().await;
    let application = application_of(&shop.cashier());

    let huge = json!({ "token": "t".repeat(10_000_000), "orderId": OrderId::new() });
    let (status, _) = post(&application, huge.to_string()).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);

    let request = Request::post("/api/payments")
        .header(CONTENT_TYPE, "text/plain")
        .header(AUTHORIZATION, format!("Bearer {}", token("alice")))
        .body(Body::from(body(OrderId::new(), "tok_visa")))
        .unwrap();
    let (status, _) = send(&application, request).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn order_that_is_unknown_is_404_and_another_users_403() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let application = application_of(&shop.cashier());

    let (status, answer) = post(&application, body(OrderId::new(), "tok_visa")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer, refusal("no such order"));

    let mallory = token("mallory");
    let (status, answer) = post_as(&application, &mallory, body(order, "tok_visa")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(answer, refusal("not yours"));

    // Also if there is something else to say of it.
    shop.cancel(order).await.unwrap();
    let (status, _) = post_as(&application, &mallory, body(order, "tok_visa")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn order_that_cannot_be_paid_is_409_and_says_why() {
    let shop = Shop::open().await;
    let application = application_of(&shop.cashier());
    let paid = shop.order().await;
    pay(&shop.cashier(), paid, "tok_visa").await.unwrap();
    let cancelled = shop.order().await;
    shop.cancel(cancelled).await.unwrap();
    let charging = shop.order().await;
    let road = Road::to(shop.sandbox());
    let waiting = shop.cashier_at(road.clone(), PATIENT);
    let on_its_way = tokio::spawn(async move { pay(&waiting, charging, "tok_visa").await });
    let _call = road.call().await;
    let expired = shop.order().await;

    let check = async |order, message| {
        let (status, answer) = post(&application, body(order, "tok_visa")).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert_eq!(answer, refusal(message));
    };
    check(paid, "order is already paid").await;
    check(cancelled, "order is cancelled").await;
    check(charging, "order is being charged").await;
    shop.advance(Duration::from_hours(1000));
    check(expired, "order has expired").await;
    on_its_way.abort();
}

#[tokio::test]
async fn order_cancelled_while_it_is_charged_is_409() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let road = Road::to(shop.sandbox());
    let application = application_of(&shop.cashier_at(road.clone(), PATIENT));
    let posting = tokio::spawn(async move { post(&application, body(order, "tok_visa")).await });
    let call = road.call().await;
    shop.cancel(order).await.unwrap();
    let answer = call.arrive().await;
    call.answer(answer);

    let (status, answer) = posting.await.unwrap();

    assert_eq!(status, StatusCode::CONFLICT);
    let message = "order was cancelled while it was charged, and the charge is given back";
    assert_eq!(answer, refusal(message));
}

#[tokio::test]
async fn gateway_that_does_not_answer_is_503() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let brief = Duration::from_millis(50);
    let application = application_of(&shop.cashier_at(shop.sandbox(), brief));

    let (status, _) = post(&application, body(order, "tok_lost")).await;

    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let (status, _) = post(&application, body(order, "tok_visa")).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn unknown_route_is_404_and_another_method_405() {
    let shop = Shop::open().await;
    let application = application_of(&shop.cashier());
    let bare = |method: Method, path: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap()
    };

    let (status, answer) = send(&application, bare(Method::GET, "/api/refunds")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer, refusal("no such route"));

    let (status, _) = send(&application, bare(Method::GET, "/api/payments")).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn request_that_waits_for_a_silent_gateway_is_answered_at_the_stop() {
    let shop = Shop::open().await;
    let order = shop.order().await;
    let road = Road::to(shop.sandbox());
    // The most that `--gateway-timeout` takes.
    let cashier = shop.cashier_at(road.clone(), Duration::from_secs(9));
    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let mut client = TcpStream::connect(server.addr()).await.unwrap();
    let (terminate, terminated) = oneshot::channel();
    let running = tokio::spawn(server.run(application_of(&cashier), async {
        terminated.await.unwrap();
    }));
    let (token, body) = (token("alice"), body(order, "tok_visa"));
    let request = format!(
        "POST /api/payments HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let _silent = road.call().await;

    // Nothing but time is waited for from here on.
    tokio::time::pause();
    terminate.send(()).unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).await.unwrap();

    assert!(reply.starts_with("HTTP/1.1 503 "), "{reply}");
    assert!(reply.contains(r#"{"errors":[{"#), "{reply}");
    running.await.unwrap();
}
