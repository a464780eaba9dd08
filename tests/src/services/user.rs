use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use common::events::{OrderId, TicketId};
use common::testing::Reply;
use common::{BoxError, ORDERS_SERVICE, PAYMENTS_SERVICE, QueueGroup, TICKETS_SERVICE};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{System, until};

/// Longer than any service waits for anybody.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// Sends one request over a connection of its own.
///
/// # Errors
///
/// If the connection is refused, or breaks before the answer is complete.
pub async fn request(addr: SocketAddr, request: Request<Full<Bytes>>) -> Result<Reply, BoxError> {
    let exchange = async {
        let stream = TcpStream::connect(addr).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            Ok::<_, hyper::Error>((head, body.collect().await?.to_bytes()))
        };
        // A server that has answered may close the connection before it has read all of the request.
        tokio::pin!(connection, answer);
        let (head, body) = tokio::select! {
            answer = &mut answer => answer?,
            _ = &mut connection => answer.await?,
        };
        Ok::<_, BoxError>(Reply {
            status: head.status,
            headers: head.headers,
            json: serde_json::from_slice(&body).unwrap_or_default(),
            text: String::from_utf8_lossy(&body).into_owned(),
        })
    };
    timeout(ANSWER_WITHIN, exchange).await?
}

/// Somebody who uses the services over HTTP: signed in, or with whatever the test puts in the place of a token.
#[derive(Debug, Clone)]
pub struct User<'s> {
    system: &'s System,
    token: Option<String>,
}

impl<'s> User<'s> {
    pub(super) fn new(system: &'s System, token: Option<String>) -> Self {
        Self { system, token }
    }

    /// `GET`.
    pub async fn get(&self, service: QueueGroup, path: &str) -> Reply {
        self.send(Method::GET, service, path, "").await
    }

    /// `POST` of a body that is declared as JSON.
    pub async fn post(&self, service: QueueGroup, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(Method::POST, service, path, body).await
    }

    /// Any method, with a body that is declared as JSON.
    ///
    /// # Panics
    ///
    /// If there is no answer.
    pub async fn send(
        &self,
        method: Method,
        service: QueueGroup,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Reply {
        let addr = self.system.addr(service);
        match self.send_to(addr, method.clone(), path, body).await {
            Ok(reply) => reply,
            Err(err) => panic!("{service} did not answer {method} {path}: {err}"),
        }
    }

    /// Sends to one of several replicas, which may be gone.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    ///
    /// # Panics
    ///
    /// If path or token cannot be sent at all.
    pub async fn send_to(
        &self,
        addr: SocketAddr,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Reply, BoxError> {
        let mut message = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, addr.to_string())
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            message = message.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let message = message.body(Full::new(body.into())).unwrap();
        request(addr, message).await
    }

    /// Puts a ticket on sale.
    ///
    /// # Panics
    ///
    /// If that is refused.
    pub async fn sells(&self, title: &str, price: u64) -> TicketId {
        let offer = json!({ "title": title, "price": price }).to_string();
        let reply = self.post(TICKETS_SERVICE, "/api/tickets", offer).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        reply.json["id"].as_str().unwrap().parse().unwrap()
    }

    /// Tries to change a ticket.
    pub async fn changes(&self, ticket: TicketId, title: &str, price: u64) -> Reply {
        let offer = json!({ "title": title, "price": price }).to_string();
        let path = format!("/api/tickets/{ticket}");
        self.send(Method::PUT, TICKETS_SERVICE, &path, offer).await
    }

    /// Tries to order a ticket.
    pub async fn tries_to_order(&self, ticket: TicketId) -> Reply {
        let wish = json!({ "ticketId": ticket }).to_string();
        self.post(ORDERS_SERVICE, "/api/orders", wish).await
    }

    /// Orders a ticket.
    ///
    /// # Panics
    ///
    /// If that is refused.
    pub async fn orders(&self, ticket: TicketId) -> OrderId {
        ordered(&self.tries_to_order(ticket).await)
    }

    /// Orders a ticket as soon as orders-service has heard of it.
    ///
    /// # Panics
    ///
    /// If it does not hear of it, or refuses.
    pub async fn orders_once_known(&self, ticket: TicketId) -> OrderId {
        let reply = until(
            &format!("ticket {ticket} can be ordered"),
            async || match self.tries_to_order(ticket).await {
                unknown if unknown.status == 404 => Err(unknown.text),
                reply => Ok(reply),
            },
        )
        .await;
        ordered(&reply)
    }

    /// The order, as orders-service shows it.
    pub async fn order(&self, order: OrderId) -> Value {
        let path = format!("/api/orders/{order}");
        self.get(ORDERS_SERVICE, &path).await.json
    }

    /// The ticket, as tickets-service shows it.
    pub async fn ticket(&self, ticket: TicketId) -> Value {
        let path = format!("/api/tickets/{ticket}");
        self.get(TICKETS_SERVICE, &path).await.json
    }

    /// Gives up an order.
    pub async fn cancels(&self, order: OrderId) -> Reply {
        let path = format!("/api/orders/{order}");
        self.send(Method::DELETE, ORDERS_SERVICE, &path, "").await
    }

    /// Pays an order with the card that a test token stands for.
    ///
    /// # Panics
    ///
    /// If there is no answer.
    pub async fn pays(&self, order: OrderId, token: &str) -> Reply {
        match self.tries_to_pay(order, token).await {
            Ok(reply) => reply,
            Err(err) => panic!("payment was not answered: {err}"),
        }
    }

    /// As [`pays`](Self::pays), at a service that may not live to answer.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    pub async fn tries_to_pay(&self, order: OrderId, token: &str) -> Result<Reply, BoxError> {
        let body = json!({ "orderId": order, "token": token }).to_string();
        let addr = self.system.addr(PAYMENTS_SERVICE);
        self.send_to(addr, Method::POST, "/api/payments", body)
            .await
    }
}

/// The order that was placed.
#[track_caller]
fn ordered(reply: &Reply) -> OrderId {
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.json["id"].as_str().unwrap().parse().unwrap()
}
