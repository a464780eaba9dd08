//! What the tests of this service stand on: a database that is thrown away, and callers of the routes.

use common::events::{OrderId, TicketCreated, TicketId, TicketUpdated};
use common::http::{JwtKey, Readiness, application};
use common::testing::{Caller, ScratchDatabase, Unsent, outbox, sample};
use common::{Database, Health, TICKETS_SERVICE};

use crate::ticket::{Offer, State, Ticket};
use crate::{routes, store};

/// The service without a broker: its routes and its database, until the test is over.
pub(crate) struct Fixture {
    scratch: ScratchDatabase,
    pub(crate) database: Database,
    pub(crate) key: JwtKey,
    pub(crate) nobody: Caller,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let scratch = ScratchDatabase::create().await;
        let database = open(&scratch).await;
        let key = JwtKey::new(&"k".repeat(32)).unwrap();
        let readiness = Readiness::of(&Health::new()).and(&database);
        let nobody = Caller::new(application(routes::router(&database, &key), readiness));
        Self {
            scratch,
            database,
            key,
            nobody,
        }
    }

    pub(crate) fn user(&self, name: &str) -> Caller {
        self.nobody.signed_in(name, &self.key)
    }

    /// The database as another replica opens it.
    pub(crate) async fn replica(&self) -> Database {
        open(&self.scratch).await
    }

    /// A ticket of alice, on sale and published.
    pub(crate) async fn ticket(&self) -> TicketId {
        let offer = Offer {
            title: sample::title("Concert"),
            price: sample::cents(2500),
        };
        let ticket = Ticket::new(offer, sample::user("alice"));
        let mut tx = self.database.begin().await.unwrap();
        store::insert(&mut tx, &ticket).await.unwrap();
        tx.commit().await.unwrap();
        ticket.id
    }

    /// A ticket of alice that an order has reserved.
    pub(crate) async fn reserved_ticket(&self) -> (TicketId, OrderId) {
        let (ticket, order) = (self.ticket().await, OrderId::new());
        let mut tx = self.database.begin().await.unwrap();
        store::reserve(&mut tx, ticket, order).await.unwrap();
        tx.commit().await.unwrap();
        (ticket, order)
    }

    pub(crate) async fn find(&self, ticket: TicketId) -> Ticket {
        let found = store::find(&self.database, ticket).await.unwrap();
        found.expect("ticket is there")
    }

    pub(crate) async fn state(&self, ticket: TicketId) -> State {
        self.find(ticket).await.state
    }

    pub(crate) async fn created(&self) -> Vec<TicketCreated> {
        let unsent = outbox(&self.database).await;
        unsent.iter().filter_map(Unsent::event).collect()
    }

    /// What was published of the ticket's changes, oldest first.
    pub(crate) async fn updates(&self, ticket: TicketId) -> Vec<TicketUpdated> {
        let unsent = outbox(&self.database).await;
        let updates = unsent.iter().filter_map(Unsent::event::<TicketUpdated>);
        updates.filter(|update| update.id == ticket).collect()
    }
}

async fn open(scratch: &ScratchDatabase) -> Database {
    scratch
        .open(TICKETS_SERVICE.as_str(), store::MIGRATIONS)
        .await
}
