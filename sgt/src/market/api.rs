use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use common::http::JwtKey;
use common::{ORDERS_SERVICE, PAYMENTS_SERVICE, QueueGroup, TICKETS_SERVICE};
use http_body_util::{BodyExt as _, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::plan::Person;

/// As many requests as this are under way at once, so that neither connections nor files run out.
const AT_ONCE: usize = 32;
/// Long enough for a service that waits for its gateway.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Outlives every demo but one that is kept up overnight.
pub(crate) const SIGNED_IN_FOR: Duration = Duration::from_hours(12);

/// Where the replicas of each service answer HTTP.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses {
    pub(crate) tickets: Vec<SocketAddr>,
    pub(crate) orders: Vec<SocketAddr>,
    pub(crate) payments: Vec<SocketAddr>,
}

/// One of the three services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Service {
    Tickets,
    Orders,
    Payments,
}

/// The three services, as a browser sees them.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    addresses: Mutex<Addresses>,
    answer_within: Duration,
    jwt: JwtKey,
    under_way: Semaphore,
    sent: AtomicUsize,
}

/// What a service answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    body: Bytes,
}

/// A ticket, as tickets-service shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ticket {
    pub(crate) id: String,
}

/// An order, as orders-service shows it to its buyer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) status: common::events::OrderStatus,
    pub(crate) expires_at: jiff::Timestamp,
}

/// One of the tickets for sale.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ListedTicket {
    pub(crate) id: String,
    pub(crate) title: String,
}

/// One of a buyer's orders, and what for.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct OwnOrder {
    #[serde(flatten)]
    pub(crate) order: Order,
    pub(crate) ticket: Ticket,
}

/// The gateway's test cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Card {
    Good,
    Declined,
    /// Charges, and the gateway never says so.
    Silent,
}

impl Addresses {
    pub(crate) fn of(&mut self, service: Service) -> &mut Vec<SocketAddr> {
        match service {
            Service::Tickets => &mut self.tickets,
            Service::Orders => &mut self.orders,
            Service::Payments => &mut self.payments,
        }
    }
}

impl Service {
    pub(crate) const ALL: [Self; 3] = [Self::Tickets, Self::Orders, Self::Payments];

    /// Its name, and that of its program.
    pub(crate) fn group(self) -> QueueGroup {
        match self {
            Self::Tickets => TICKETS_SERVICE,
            Self::Orders => ORDERS_SERVICE,
            Self::Payments => PAYMENTS_SERVICE,
        }
    }
}

impl Api {
    pub(crate) fn new(addresses: Addresses, jwt: JwtKey, answer_within: Duration) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(AT_ONCE / 2)
                .build_http(),
            addresses: Mutex::new(addresses),
            answer_within,
            jwt,
            under_way: Semaphore::new(AT_ONCE),
            sent: AtomicUsize::new(0),
        }
    }

    /// A replica answers at another address from now on.
    pub(crate) fn moved(&self, service: Service, nth: usize, addr: SocketAddr) {
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = addresses.of(service).get_mut(nth) {
            *place = addr;
        }
    }

    /// Whether a replica says that it can work.
    pub(crate) async fn is_ready(&self, service: Service, nth: usize) -> bool {
        let replica = self.replica(service, nth);
        let Ok(uri) = format!("http://{replica}/readyz").parse() else {
            return false;
        };
        let answer = timeout(self.answer_within, self.client.get(uri)).await;
        matches!(answer, Ok(Ok(answer)) if answer.status() == StatusCode::OK)
    }

    /// How many requests were sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) async fn list_ticket(
        &self,
        seller: Person,
        title: &str,
        price: u32,
    ) -> anyhow::Result<Answer> {
        let body = json!({ "title": title, "price": price });
        self.send(
            Method::POST,
            Service::Tickets,
            "/api/tickets",
            seller,
            Some(&body),
        )
        .await
    }

    pub(crate) async fn change_ticket(
        &self,
        seller: Person,
        ticket: &str,
        title: &str,
        price: u32,
    ) -> anyhow::Result<Answer> {
        let path = format!("/api/tickets/{ticket}");
        let body = json!({ "title": title, "price": price });
        self.send(Method::PUT, Service::Tickets, &path, seller, Some(&body))
            .await
    }

    pub(crate) async fn order(&self, buyer: Person, ticket: &str) -> anyhow::Result<Answer> {
        let body = json!({ "ticketId": ticket });
        self.send(
            Method::POST,
            Service::Orders,
            "/api/orders",
            buyer,
            Some(&body),
        )
        .await
    }

    pub(crate) async fn show_order(&self, buyer: Person, order: &str) -> anyhow::Result<Answer> {
        let path = format!("/api/orders/{order}");
        self.send(Method::GET, Service::Orders, &path, buyer, None)
            .await
    }

    pub(crate) async fn cancel_order(&self, buyer: Person, order: &str) -> anyhow::Result<Answer> {
        let path = format!("/api/orders/{order}");
        self.send(Method::DELETE, Service::Orders, &path, buyer, None)
            .await
    }

    pub(crate) async fn pay(
        &self,
        buyer: Person,
        order: &str,
        card: Card,
    ) -> anyhow::Result<Answer> {
        let body = json!({ "orderId": order, "token": card.token() });
        self.send(
            Method::POST,
            Service::Payments,
            "/api/payments",
            buyer,
            Some(&body),
        )
        .await
    }

    /// A page of what is for sale, in the order in which it was listed.
    pub(crate) async fn tickets_after(
        &self,
        seller: Person,
        after: &str,
    ) -> anyhow::Result<Answer> {
        let path = format!("/api/tickets?limit=100&after={after}");
        self.send(Method::GET, Service::Tickets, &path, seller, None)
            .await
    }

    /// A page of one's own orders, in the order in which they were placed.
    pub(crate) async fn orders_after(&self, buyer: Person, after: &str) -> anyhow::Result<Answer> {
        let path = format!("/api/orders?limit=100&after={after}");
        self.send(Method::GET, Service::Orders, &path, buyer, None)
            .await
    }

    async fn send(
        &self,
        method: Method,
        service: Service,
        path: &str,
        person: Person,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let _place = self.under_way.acquire().await?;
        let turn = self.sent.fetch_add(1, Ordering::Relaxed);
        let replica = self.replica(service, turn);
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
        let within = self.answer_within;
        timeout(within, exchange)
            .await
            .with_context(|| format!("{what} was not answered within {within:?}"))?
            .with_context(|| format!("{what} failed"))
    }

    /// One replica after the other.
    fn replica(&self, service: Service, turn: usize) -> SocketAddr {
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let replicas = addresses.of(service);
        replicas[turn % replicas.len()]
    }
}

impl Answer {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// If it is not what the contract says.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("unreadable answer {}", self.text()))
    }

    /// Status and body, short enough for one line.
    pub(crate) fn text(&self) -> String {
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
