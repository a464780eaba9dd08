use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use common::http::JwtKey;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::plan::Person;

/// As many requests as this are under way at once, so that neither connections nor files run out.
const AT_ONCE: usize = 32;
/// Long enough for a service that waits for its gateway.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Outlives every demo but one that is kept up overnight.
pub(super) const SIGNED_IN_FOR: Duration = Duration::from_hours(12);

/// Where the replicas of each service answer HTTP.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses {
    pub(super) tickets: Vec<SocketAddr>,
    pub(super) orders: Vec<SocketAddr>,
    pub(super) payments: Vec<SocketAddr>,
}

/// The three services, as a browser sees them.
#[derive(Debug)]
pub(super) struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    addresses: Addresses,
    jwt: JwtKey,
    under_way: Semaphore,
    sent: AtomicUsize,
}

/// What a service answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Bytes,
}

/// A ticket, as tickets-service shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ticket {
    pub(super) id: String,
}

/// An order, as orders-service shows it to its buyer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Order {
    pub(super) id: String,
    pub(super) status: common::events::OrderStatus,
    pub(super) expires_at: jiff::Timestamp,
}

/// The gateway's test cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Card {
    Good,
    Declined,
    /// Charges, and the gateway never says so.
    Silent,
}

impl Api {
    pub(super) fn new(addresses: Addresses, jwt: JwtKey) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(AT_ONCE / 2)
                .build_http(),
            addresses,
            jwt,
            under_way: Semaphore::new(AT_ONCE),
            sent: AtomicUsize::new(0),
        }
    }

    /// How many requests were sent.
    pub(super) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) async fn list_ticket(
        &self,
        seller: Person,
        title: &str,
        price: u32,
    ) -> anyhow::Result<Answer> {
        let body = json!({ "title": title, "price": price });
        self.send(
            Method::POST,
            &self.addresses.tickets,
            "/api/tickets",
            seller,
            Some(&body),
        )
        .await
    }

    pub(super) async fn change_ticket(
        &self,
        seller: Person,
        ticket: &str,
        title: &str,
        price: u32,
    ) -> anyhow::Result<Answer> {
        let path = format!("/api/tickets/{ticket}");
        let body = json!({ "title": title, "price": price });
        self.send(
            Method::PUT,
            &self.addresses.tickets,
            &path,
            seller,
            Some(&body),
        )
        .await
    }

    pub(super) async fn order(&self, buyer: Person, ticket: &str) -> anyhow::Result<Answer> {
        let body = json!({ "ticketId": ticket });
        self.send(
            Method::POST,
            &self.addresses.orders,
            "/api/orders",
            buyer,
            Some(&body),
        )
        .await
    }

    pub(super) async fn show_order(&self, buyer: Person, order: &str) -> anyhow::Result<Answer> {
        let path = format!("/api/orders/{order}");
        self.send(Method::GET, &self.addresses.orders, &path, buyer, None)
            .await
    }

    pub(super) async fn cancel_order(&self, buyer: Person, order: &str) -> anyhow::Result<Answer> {
        let path = format!("/api/orders/{order}");
        self.send(Method::DELETE, &self.addresses.orders, &path, buyer, None)
            .await
    }

    pub(super) async fn pay(
        &self,
        buyer: Person,
        order: &str,
        card: Card,
    ) -> anyhow::Result<Answer> {
        let body = json!({ "orderId": order, "token": card.token() });
        self.send(
            Method::POST,
            &self.addresses.payments,
            "/api/payments",
            buyer,
            Some(&body),
        )
        .await
    }

    async fn send(
        &self,
        method: Method,
        replicas: &[SocketAddr],
        path: &str,
        person: Person,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let _place = self.under_way.acquire().await?;
        let turn = self.sent.fetch_add(1, Ordering::Relaxed);
        let replica = replicas[turn % replicas.len()];
        let token = self.jwt.mint(&person.to_string().parse()?, SIGNED_IN_FOR);
        let what = format!("{method} {path}");
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{replica}{path}"))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/json")
            .body(body.map(Value::to_string).unwrap_or_default().into())?;
        let exchange = async {
            let (head, body) = self.client.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok(Answer {
                status: head.status,
                body,
            })
        };
        timeout(ANSWER_WITHIN, exchange)
            .await
            .with_context(|| format!("{what} was not answered within {ANSWER_WITHIN:?}"))?
            .with_context(|| format!("{what} failed"))
    }
}

impl Answer {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// If it is not what the contract says.
    pub(super) fn read<'a, T: Deserialize<'a>>(&'a self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("unreadable answer {}", self.text()))
    }

    /// Status and body, short enough for one line.
    pub(super) fn text(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let body: String = body.chars().take(200).collect();
        format!("{} {body}", self.status.as_u16())
    }
}

impl Card {
    fn token(self) -> &'static str {
        match self {
            Self::Good => "tok_visa",
            Self::Declined => "tok_chargeDeclined",
            Self::Silent => "tok_timeout",
        }
    }
}
