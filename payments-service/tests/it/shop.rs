//! What every test stands on: a database and a ledger in files of their own, and a clock that the test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::events::{
    OrderCancelled, OrderCompleted, OrderCreated, OrderId, OrderStatus, OrderedTicket, PaymentId,
    PricedTicket, TicketId, UserId,
};
use common::testing::ScratchDatabase;
use common::{Database, Failure, Health, TransactionalListener, Version};
use jiff::Timestamp;
use payments_service::listeners::{
    AddOnOrderCreated, CloseOnOrderCompleted, RefundOnOrderCancelled,
};
use payments_service::{
    Cashier, Clock, MIGRATIONS, PayError, PaymentGateway, SandboxGateway, SandboxLedger, Worker,
};
use sqlx::Row as _;
use tempfile::TempDir;

/// Long enough that no test waits for it, unless it says so.
pub(crate) const PATIENT: Duration = Duration::from_mins(10);
/// The shortest time there is in the database.
pub(crate) const MICROSECOND: Duration = Duration::from_micros(1);
/// How long an order can be paid.
const TTL: Duration = Duration::from_hours(100);

/// The books of one service, and the bank's.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) database: Database,
    pub(crate) ledger: SandboxLedger,
    now: Arc<AtomicI64>,
    scratch: ScratchDatabase,
    folder: TempDir,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let scratch = ScratchDatabase::create().await;
        Self {
            database: connect(&scratch).await,
            ledger: open_ledger(&folder).await,
            now: Arc::new(AtomicI64::new(start.as_microsecond())),
            scratch,
            folder,
        }
    }

    pub(crate) fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Clock::new(move || Timestamp::from_microsecond(now.load(Ordering::Relaxed)).unwrap())
    }

    /// Lets time go by.
    pub(crate) fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap();
        self.now.fetch_add(by, Ordering::Relaxed);
    }

    /// Lets so much time go by that no request can be on its way any more.
    pub(crate) fn outlast(&self, patience: Duration) {
        self.advance(patience + Duration::from_mins(2));
    }

    pub(crate) fn sandbox(&self) -> SandboxGateway {
        SandboxGateway::new(self.ledger.clone()).clock(self.clock())
    }

    pub(crate) fn cashier(&self) -> Cashier<SandboxGateway> {
        self.cashier_at(self.sandbox(), PATIENT)
    }

    pub(crate) fn cashier_at<G: PaymentGateway>(
        &self,
        gateway: G,
        patience: Duration,
    ) -> Cashier<G> {
        Cashier::new(&self.database, gateway, self.clock(), patience)
    }

    /// Another process on the same files.
    pub(crate) async fn replica(&self) -> Cashier<SandboxGateway> {
        let ledger = open_ledger(&self.folder).await;
        let gateway = SandboxGateway::new(ledger).clock(self.clock());
        let database = connect(&self.scratch).await;
        Cashier::new(&database, gateway, self.clock(), PATIENT)
    }

    /// An order of alice's that can be paid.
    pub(crate) async fn order(&self) -> OrderId {
        let order = self.order_created();
        let id = order.id;
        self.apply(&AddOnOrderCreated, order).await.unwrap();
        id
    }

    pub(crate) fn order_created(&self) -> OrderCreated {
        OrderCreated {
            id: OrderId::new(),
            version: Version::FIRST,
            status: OrderStatus::Created,
            user_id: alice(),
            expires_at: self.clock().now().checked_add(TTL).unwrap(),
            ticket: PricedTicket {
                id: TicketId::new(),
                price: 2500_u64.try_into().unwrap(),
            },
        }
    }

    pub(crate) async fn cancel(&self, order: OrderId) -> Result<(), Failure> {
        let listener = RefundOnOrderCancelled::new(self.clock());
        let event = OrderCancelled {
            id: order,
            version: Version::FIRST.next(),
            ticket: OrderedTicket {
                id: TicketId::new(),
            },
        };
        self.apply(&listener, event).await
    }

    pub(crate) async fn complete(&self, order: OrderId) -> Result<(), Failure> {
        let event = OrderCompleted {
            id: order,
            version: Version::FIRST.next(),
            ticket: OrderedTicket {
                id: TicketId::new(),
            },
        };
        self.apply(&CloseOnOrderCompleted, event).await
    }

    /// Applies an event as the runner would, if it has found it neither early nor twice.
    pub(crate) async fn apply<L: TransactionalListener>(
        &self,
        listener: &L,
        event: L::Event,
    ) -> Result<(), Failure> {
        let mut tx = self.database.begin().await.unwrap();
        listener.apply(event, &mut tx).await?;
        tx.commit().await.unwrap();
        Ok(())
    }

    /// Lets the worker look once at what is due.
    pub(crate) async fn work<G: PaymentGateway>(&self, cashier: &Cashier<G>) {
        let worker = Worker::new(cashier, &Health::new());
        worker.pass().await.unwrap();
    }

    /// What the order's payment has come to. `None`: nobody tried to pay.
    pub(crate) async fn status(&self, order: OrderId) -> Option<String> {
        sqlx::query("SELECT status FROM payments WHERE order_id = $1")
            .bind(order.to_string())
            .fetch_optional(self.database.reader())
            .await
            .unwrap()
            .map(|row| row.get("status"))
    }
}

pub(crate) fn alice() -> UserId {
    "alice".parse().unwrap()
}

/// Alice pays with a card.
pub(crate) async fn pay<G: PaymentGateway>(
    cashier: &Cashier<G>,
    order: OrderId,
    token: &str,
) -> Result<PaymentId, PayError> {
    cashier.pay(&alice(), order, token.parse().unwrap()).await
}

async fn connect(scratch: &ScratchDatabase) -> Database {
    scratch.open("payments-service", MIGRATIONS).await
}

async fn open_ledger(folder: &TempDir) -> SandboxLedger {
    let path = folder.path().join("sandbox-gateway.db");
    SandboxLedger::open(&format!("sqlite://{}", path.display()))
        .await
        .unwrap()
}
