//! What the tests of this service stand on: a database that is thrown away, and callers of the routes.

use std::sync::Arc;

use common::events::{OrderId, TicketId, TicketUpdated};
use common::http::{JwtKey, Readiness, application};
use common::testing::{Caller, ScratchDatabase, Unsent, outbox, sample};
use common::{Database, Event, Health, ORDERS_SERVICE};
use serde_json::json;

use crate::config::OrderTtl;
use crate::order::{Order, Status, Ticket};
use crate::{routes, store};

/// The service without a broker: its routes and its database, until the test is over.
pub(crate) struct Fixture {
    scratch: Arc<ScratchDatabase>,
    pub(crate) database: Database,
    pub(crate) key: JwtKey,
    pub(crate) nobody: Caller,
}

impl Fixture {
    /// Orders wait a quarter of an hour for their payment.
    pub(crate) async fn new() -> Self {
        Self::with_ttl(OrderTtl::default()).await
    }

    /// Orders are due as soon as they are placed.
    pub(crate) async fn impatient() -> Self {
        Self::with_ttl(OrderTtl::NONE).await
    }

    async fn with_ttl(ttl: OrderTtl) -> Self {
        let scratch = Arc::new(ScratchDatabase::create().await);
        let database = open(&scratch).await;
        let key = JwtKey::new(&"k".repeat(32)).unwrap();
        let readiness = Readiness::of(&Health::new()).and(&database);
        let routes = routes::router(&database, &key, ttl);
        Self {
            scratch,
            database,
            key,
            nobody: Caller::new(application(routes, readiness)),
        }
    }

    pub(crate) fn user(&self, name: &str) -> Caller {
        self.nobody.signed_in(name, &self.key)
    }

    /// The service as another replica of it runs.
    pub(crate) async fn replica(&self) -> Self {
        let database = open(&self.scratch).await;
        let readiness = Readiness::of(&Health::new()).and(&database);
        let routes = routes::router(&database, &self.key, OrderTtl::default());
        Self {
            scratch: Arc::clone(&self.scratch),
            database,
            key: self.key.clone(),
            nobody: Caller::new(application(routes, readiness)),
        }
    }

    /// A ticket at 25.00 that tickets-service has put on sale.
    pub(crate) async fn ticket(&self) -> TicketId {
        let ticket = Ticket::from(sample::ticket_created());
        self.keep(&ticket).await;
        ticket.id
    }

    /// Lets this service know what tickets-service says of the ticket's holder, as version 2.
    pub(crate) async fn hold(&self, ticket: TicketId, holder: Option<OrderId>) {
        let update = TicketUpdated {
            id: ticket,
            order_id: holder,
            ..sample::ticket_updated()
        };
        self.keep(&Ticket::from(update)).await;
    }

    /// Lets this service know what tickets-service has published.
    pub(crate) async fn keep(&self, ticket: &Ticket) {
        let mut tx = self.database.begin().await.unwrap();
        store::keep(&mut tx, ticket).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// An order of bob for a ticket of its own.
    pub(crate) async fn order(&self) -> Order {
        let ticket = self.ticket().await;
        self.order_of(ticket).await
    }

    /// An order of bob.
    pub(crate) async fn order_of(&self, ticket: TicketId) -> Order {
        let wish = json!({ "ticketId": ticket }).to_string();
        let reply = self.user("bob").post("/api/orders", wish).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        let id = reply.json["id"].as_str().unwrap().parse().unwrap();
        self.find(id).await
    }

    pub(crate) async fn find(&self, order: OrderId) -> Order {
        let found = store::find(&self.database, order).await.unwrap();
        found.expect("order is there").order
    }

    pub(crate) async fn status(&self, order: OrderId) -> Status {
        self.find(order).await.status
    }

    /// The events of one type that were published, oldest first.
    pub(crate) async fn published<E: Event>(&self) -> Vec<E> {
        let unsent = outbox(&self.database).await;
        unsent.iter().filter_map(Unsent::event).collect()
    }
}

async fn open(scratch: &ScratchDatabase) -> Database {
    scratch
        .open(ORDERS_SERVICE.as_str(), store::MIGRATIONS)
        .await
}
