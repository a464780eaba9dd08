//! Bad input over HTTP, through the real servers: each refusal has its status and the body that every error has, never
//! 500, and the service goes on.

use std::time::Duration;

use bytes::Bytes;
use common::events::{OrderId, TicketId};
use common::http::{JwtKey, MAX_BODY_BYTES};
use common::testing::sample;
use common::{ORDERS_SERVICE, PAYMENTS_SERVICE, QueueGroup, TICKETS_SERVICE};
use hyper::Method;
use integration_tests::services::{Story, System, User};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::SERVICES;

/// What a seller types into the wrong field, or a prankster sends on purpose.
const TEN_MEGABYTES: usize = 10 * 1024 * 1024;

/// A method and a path of a service.
struct Route<'s> {
    user: User<'s>,
    service: QueueGroup,
    method: Method,
    path: String,
}

impl Route<'_> {
    async fn refuses(&self, body: impl Into<Bytes>, status: u16, field: Option<&str>) {
        let body = body.into();
        let said: String = String::from_utf8_lossy(&body).chars().take(100).collect();
        let Self {
            user,
            service,
            method,
            path,
        } = self;
        let reply = user.send(method.clone(), *service, path, body).await;
        let error = &reply.json["errors"][0];
        let seen = (reply.status.as_u16(), error["field"].as_str());
        assert_eq!(
            seen,
            (status, field),
            "{method} {path} {said}: {}",
            reply.text
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{}",
            reply.text
        );
    }

    /// What no route that takes a body may accept.
    async fn refuses_what_is_no_body(&self) {
        for malformed in [
            "",
            " ",
            "{",
            "{]",
            "nonsense",
            "null",
            "7",
            "[]",
            "\"x\"",
            "{}}",
            "\u{feff}{}",
            "\0",
        ] {
            let field = if malformed == "{}}" {
                Some(self.first_field())
            } else {
                None
            };
            self.refuses(malformed, 400, field).await;
        }
        let not_utf8 = [b"{\"", self.first_field().as_bytes(), b"\":\"\xff\xfe\"}"].concat();
        self.refuses(not_utf8, 400, None).await;
        self.refuses("[".repeat(10_000), 400, None).await;
        self.refuses(" ".repeat(MAX_BODY_BYTES + 1), 413, None)
            .await;
        self.refuses("x".repeat(TEN_MEGABYTES), 413, None).await;
    }

    /// What the body is looked through for first.
    fn first_field(&self) -> &'static str {
        match self.service {
            TICKETS_SERVICE => "title",
            ORDERS_SERVICE => "ticketId",
            _ => "token",
        }
    }

    async fn refuses_values(&self, values: &[(Value, &str)]) {
        for (body, field) in values {
            self.refuses(body.to_string(), 400, Some(field)).await;
        }
    }
}

/// Tokens that prove nothing, by what is wrong with them.
fn tokens_that_prove_nothing(system: &System) -> Vec<(&'static str, String)> {
    let alice = sample::user("alice");
    let minute = Duration::from_mins(1);
    let good = system.jwt_key().mint(&alice, minute);
    let (unsigned, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = unsigned.split_once('.').unwrap();
    let other = JwtKey::new("another key of at least thirty-two bytes").unwrap();
    vec![
        ("expired", system.jwt_key().mint(&alice, Duration::ZERO)),
        ("signed with another key", other.mint(&alice, minute)),
        ("unsigned", format!("{unsigned}.")),
        ("without a signature", unsigned.to_owned()),
        (
            "unsigned, and says so",
            // {"alg":"none"} and {"sub":"alice","exp":32503680000}
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6MzI1MDM2ODAwMDB9.".to_owned(),
        ),
        (
            "of other claims",
            format!("{header}.eyJzdWIiOiJib2IiLCJleHAiOjMyNTAzNjgwMDAwfQ.{signature}"),
        ),
        ("nonsense", "nonsense".to_owned()),
        ("empty", String::new()),
    ]
}

/// Refused before anything else is looked at, whatever is asked for.
async fn check_sign_in(system: &System, service: QueueGroup, routes: &[(Method, &str)]) {
    let mut strangers = vec![("missing", system.nobody())];
    for (wrong, token) in tokens_that_prove_nothing(system) {
        strangers.push((wrong, system.bearer(&token)));
    }
    for (wrong, user) in &strangers {
        for (method, path) in routes {
            let reply = user.send(method.clone(), service, path, "{").await;
            assert_eq!(
                reply.status, 401,
                "{method} {path} with a token that is {wrong}"
            );
            reply.assert_refused(401, None);
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
        }
    }
}

/// Texts in the place of an id, which are none.
const NO_IDS: [&str; 6] = [
    "7",
    "nonsense",
    "%00",
    "%FF",
    // A UUID, and none of ours.
    "0198c0de-0000-4000-8000-00000000000a",
    "0198c0de-0000-7000-8000-00000000000a0",
];

#[tokio::test]
async fn tickets_service_refuses_bad_input() {
    let system = System::shared().await;
    let alice = &system.user("alice");
    let route = |user: &User<'static>, method, path: &str| Route {
        user: user.clone(),
        service: TICKETS_SERVICE,
        method,
        path: path.to_owned(),
    };
    let ticket = alice.sells("Concert", 2500).await;
    let own = format!("/api/tickets/{ticket}");
    let unknown = format!("/api/tickets/{}", TicketId::new());
    let offer = r#"{"title":"Concert","price":2500}"#;

    for route in [
        route(alice, Method::POST, "/api/tickets"),
        route(alice, Method::PUT, &own),
    ] {
        route.refuses_what_is_no_body().await;
        let long = "x".repeat(201);
        route
            .refuses_values(&[
                (json!({ "price": 1 }), "title"),
                (json!({ "title": "", "price": 1 }), "title"),
                (json!({ "title": " \t ", "price": 1 }), "title"),
                (json!({ "title": long, "price": 1 }), "title"),
                (json!({ "title": "a\u{0}b", "price": 1 }), "title"),
                (json!({ "title": 7, "price": 1 }), "title"),
                (json!({ "title": null, "price": 1 }), "title"),
                (json!({ "title": ["x"], "price": 1 }), "title"),
                (json!({ "title": "x" }), "price"),
                (json!({ "title": "x", "price": 0 }), "price"),
                (json!({ "title": "x", "price": -2500 }), "price"),
                (json!({ "title": "x", "price": 25.5 }), "price"),
                (json!({ "title": "x", "price": "2500" }), "price"),
                (json!({ "title": "x", "price": null }), "price"),
                (json!({ "title": "x", "price": u64::MAX }), "price"),
            ])
            .await;
        let huge = json!({ "title": "x".repeat(TEN_MEGABYTES), "price": 1 }).to_string();
        route.refuses(huge, 413, None).await;
    }
    route(alice, Method::PUT, &unknown)
        .refuses(offer, 404, None)
        .await;
    route(&system.user("bob"), Method::PUT, &own)
        .refuses(offer, 403, None)
        .await;
    route(alice, Method::GET, &unknown)
        .refuses("", 404, None)
        .await;
    for id in NO_IDS {
        let path = format!("/api/tickets/{id}");
        route(alice, Method::GET, &path)
            .refuses("", 400, Some("id"))
            .await;
        route(alice, Method::PUT, &path)
            .refuses(offer, 400, Some("id"))
            .await;
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("after=7", "after"),
    ] {
        let path = format!("/api/tickets?{query}");
        route(alice, Method::GET, &path)
            .refuses("", 400, Some(field))
            .await;
    }
    for path in ["/", "/api", "/api/ticket", "/api/tickets/", "/api/orders"] {
        route(alice, Method::GET, path).refuses("", 404, None).await;
    }
    route(alice, Method::DELETE, &own)
        .refuses("", 405, None)
        .await;
    route(alice, Method::PATCH, "/api/tickets")
        .refuses(offer, 405, None)
        .await;

    check_sign_in(
        system,
        TICKETS_SERVICE,
        &[
            (Method::POST, "/api/tickets"),
            (Method::PUT, "/api/tickets/7"),
        ],
    )
    .await;
    let ticket = alice.ticket(ticket).await;
    assert_eq!(
        (&ticket["version"], &ticket["title"]),
        (&json!(1), &json!("Concert")),
        "nothing has changed it"
    );
}

#[tokio::test]
async fn orders_service_refuses_bad_input() {
    let system = System::shared().await;
    let bob = &system.user("bob");
    let route = |user: &User<'static>, method, path: &str| Route {
        user: user.clone(),
        service: ORDERS_SERVICE,
        method,
        path: path.to_owned(),
    };
    let order = system.order_that_awaits_payment().await;
    let own = format!("/api/orders/{order}");
    let unknown = format!("/api/orders/{}", OrderId::new());

    let create = route(bob, Method::POST, "/api/orders");
    create.refuses_what_is_no_body().await;
    create
        .refuses_values(&[
            (json!({}), "ticketId"),
            (json!({ "ticketid": TicketId::new() }), "ticketId"),
            (json!({ "ticketId": null }), "ticketId"),
            (json!({ "ticketId": 7 }), "ticketId"),
            (json!({ "ticketId": "" }), "ticketId"),
            (json!({ "ticketId": "nonsense" }), "ticketId"),
            (
                json!({ "ticketId": "0198c0de-0000-4000-8000-00000000000a" }),
                "ticketId",
            ),
            (json!({ "ticketId": [TicketId::new()] }), "ticketId"),
        ])
        .await;
    create
        .refuses(
            json!({ "ticketId": TicketId::new() }).to_string(),
            404,
            None,
        )
        .await;
    for method in [Method::GET, Method::DELETE] {
        route(bob, method.clone(), &unknown)
            .refuses("", 404, None)
            .await;
        route(&system.user("carol"), method.clone(), &own)
            .refuses("", 403, None)
            .await;
        for id in NO_IDS {
            let path = format!("/api/orders/{id}");
            route(bob, method.clone(), &path)
                .refuses("", 400, Some("id"))
                .await;
        }
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("after=nonsense", "after"),
    ] {
        let path = format!("/api/orders?{query}");
        route(bob, Method::GET, &path)
            .refuses("", 400, Some(field))
            .await;
    }
    route(bob, Method::GET, "/api/order")
        .refuses("", 404, None)
        .await;
    route(bob, Method::PUT, &own).refuses("{}", 405, None).await;
    route(bob, Method::DELETE, "/api/orders")
        .refuses("", 405, None)
        .await;

    let routes = [
        (Method::POST, "/api/orders"),
        (Method::GET, "/api/orders?limit=0"),
        (Method::GET, "/api/orders/7"),
        (Method::DELETE, "/api/orders/7"),
    ];
    check_sign_in(system, ORDERS_SERVICE, &routes).await;
    assert_eq!(
        bob.order(order).await["status"],
        "awaiting:payment",
        "nothing has changed it"
    );
}

#[tokio::test]
async fn payments_service_refuses_bad_input() {
    let system = System::shared().await;
    let bob = &system.user("bob");
    let route = |user: &User<'static>, method, path: &str| Route {
        user: user.clone(),
        service: PAYMENTS_SERVICE,
        method,
        path: path.to_owned(),
    };
    let order = system.order_that_awaits_payment().await;

    let pay = route(bob, Method::POST, "/api/payments");
    pay.refuses_what_is_no_body().await;
    pay.refuses_values(&[
        (json!({ "orderId": order }), "token"),
        (json!({ "token": 7, "orderId": order }), "token"),
        (json!({ "token": null, "orderId": order }), "token"),
        (json!({ "token": "", "orderId": order }), "token"),
        (json!({ "token": "tok visa", "orderId": order }), "token"),
        (
            json!({ "token": "t".repeat(256), "orderId": order }),
            "token",
        ),
        (json!({ "token": "tok_visa" }), "orderId"),
        (json!({ "token": "tok_visa", "orderId": 7 }), "orderId"),
        (
            json!({ "token": "tok_visa", "orderId": "nonsense" }),
            "orderId",
        ),
        (
            json!({ "token": "tok_visa", "orderId": "0198c0de-0000-4000-8000-00000000000a" }),
            "orderId",
        ),
    ])
    .await;
    let payment = |order: OrderId| json!({ "token": "tok_visa", "orderId": order }).to_string();
    pay.refuses(payment(OrderId::new()), 404, None).await;
    route(&system.user("carol"), Method::POST, "/api/payments")
        .refuses(payment(order), 403, None)
        .await;
    route(bob, Method::GET, "/api/payments/7")
        .refuses("", 404, None)
        .await;
    route(bob, Method::GET, "/api/payments")
        .refuses("", 405, None)
        .await;

    check_sign_in(system, PAYMENTS_SERVICE, &[(Method::POST, "/api/payments")]).await;
    let untouched = Story::awaiting_payment();
    assert_eq!(system.books().story(order).await, Some(untouched));
}

#[tokio::test]
async fn connection_that_speaks_no_http_harms_nobody() {
    let system = System::shared().await;
    let half = "POST /api/payments HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(1 << 20));
    for service in SERVICES {
        for bytes in [
            "",
            "\0\0\0\0",
            "\r\n\r\n",
            "GET / HTTP/9.9\r\n\r\n",
            "nonsense\r\n\r\n",
            half,
            &long,
        ] {
            let said = speak(system, service, bytes).await;
            assert!(!said.contains(" 500 "), "{said}");
        }
        let health = system.nobody().get(service, "/healthz").await;
        assert_eq!((health.status.as_u16(), health.text.as_str()), (200, "ok"));
        let ready = system.nobody().get(service, "/readyz").await;
        assert_eq!(ready.status, 200, "{service}: {}", ready.text);
    }
}

/// Says this to a service, hangs up, and returns what it says to that.
async fn speak(system: &System, service: QueueGroup, bytes: &str) -> String {
    let mut stream = TcpStream::connect(system.addr(service)).await.unwrap();
    // The server may hang up first, and then neither direction is of use.
    let _ = stream.write_all(bytes.as_bytes()).await;
    let _ = stream.shutdown().await;
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}
