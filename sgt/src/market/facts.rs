use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use common::{ORDERS_SERVICE, PAYMENTS_SERVICE, Subjects, TICKETS_SERVICE};
use jiff::Timestamp;
use payments_service::SandboxLedger;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use tokio::time::{Instant, sleep};

use super::broker::{Broker, Consumer, Event, Stored};
use super::latency::Latencies;

/// The names of the databases in the folder of a run.
pub(crate) const TICKETS_DB: &str = "tickets.db";
pub(crate) const ORDERS_DB: &str = "orders.db";
pub(crate) const PAYMENTS_DB: &str = "payments.db";
pub(crate) const LEDGER_DB: &str = "ledger.db";

/// Everything that is known when all is quiet: rows, ledger and streams, as they are stored.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// tickets-service.
    pub(crate) tickets: Vec<Ticket>,
    /// tickets-service: the orders that ask for a ticket, and for which.
    pub(crate) reservations: BTreeMap<String, String>,
    /// orders-service.
    pub(crate) ticket_replicas: Vec<TicketReplica>,
    /// payments-service.
    pub(crate) titles: Vec<Title>,
    /// orders-service.
    pub(crate) orders: Vec<Order>,
    /// orders-service.
    pub(crate) money: Vec<Money>,
    /// payments-service.
    pub(crate) order_replicas: Vec<Order>,
    /// payments-service.
    pub(crate) payments: Vec<Payment>,
    /// The gateway's ledger.
    pub(crate) charges: Vec<Charge>,
    /// The gateway's ledger.
    pub(crate) refunds: Vec<Refund>,
    /// The gateway's ledger: orders whose card it declined.
    pub(crate) declines: Vec<String>,
    /// Events in the outbox, by service.
    pub(crate) unsent: BTreeMap<&'static str, i64>,
    /// Events that wait for a predecessor, by service.
    pub(crate) held: BTreeMap<&'static str, i64>,
    /// orders-service: the version of each order.
    pub(crate) order_versions: BTreeMap<String, i64>,
    /// How far each service has come with each key.
    pub(crate) guards: BTreeMap<Guarded, i64>,
    pub(crate) handled: Vec<Handled>,
    pub(crate) events: Vec<Event>,
    /// The subjects of messages that are no events, in the streams of events.
    pub(crate) others: Vec<String>,
    pub(crate) consumers: Vec<Consumer>,
    /// One line each.
    pub(crate) dead_letters: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) id: String,
    pub(crate) version: i64,
    pub(crate) title: String,
    pub(crate) price: i64,
    pub(crate) seller: String,
    pub(crate) state: TicketState,
}

/// Whose a ticket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TicketState {
    ForSale,
    /// By this order.
    Reserved(String),
    /// To this order.
    Sold(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TicketReplica {
    pub(crate) id: String,
    pub(crate) version: i64,
    pub(crate) title: String,
    pub(crate) price: i64,
    /// The order that has reserved or bought it.
    pub(crate) order: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Title {
    pub(crate) ticket: String,
    pub(crate) text: String,
}

/// What orders-service was told of the money for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Money {
    pub(crate) order: String,
    /// The payment, if the order is complete.
    pub(crate) payment: Option<String>,
    /// The refund, if it came too late.
    pub(crate) refund: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) ticket: String,
    pub(crate) user: String,
    pub(crate) price: i64,
    pub(crate) state: OrderState,
    pub(crate) expires_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderState {
    /// Created or awaiting payment.
    Open,
    Complete,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) id: String,
    pub(crate) order: String,
    pub(crate) amount: i64,
    pub(crate) state: PaymentState,
    pub(crate) charge: Option<String>,
    pub(crate) refund: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaymentState {
    /// Being charged, or to be refunded.
    UnderWay,
    /// Declined, or given up before anything was charged.
    WithoutCharge,
    Charged,
    Refunded,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) order: String,
    pub(crate) amount: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) charge: String,
    pub(crate) order: String,
    pub(crate) amount: i64,
}

/// What a group applies in order: the events of one key in a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Guarded {
    pub(crate) group: String,
    pub(crate) stream: String,
    pub(crate) key: String,
}

/// An event that a group has applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handled {
    pub(crate) group: String,
    /// Where it came from, and its id there.
    pub(crate) identity: (String, String),
    /// When its handler noted it, in its transaction.
    pub(crate) at: Timestamp,
}

/// The databases of the three services and the gateway's ledger, for reading only.
#[derive(Debug)]
pub(crate) struct Databases {
    tickets: SqlitePool,
    orders: SqlitePool,
    payments: SqlitePool,
    ledger: SandboxLedger,
}

impl Databases {
    pub(crate) async fn open(folder: &Path) -> anyhow::Result<Self> {
        let ledger = format!("sqlite://{}", folder.join(LEDGER_DB).display());
        Ok(Self {
            tickets: open(&folder.join(TICKETS_DB)).await?,
            orders: open(&folder.join(ORDERS_DB)).await?,
            payments: open(&folder.join(PAYMENTS_DB)).await?,
            ledger: SandboxLedger::open(&ledger).await?,
        })
    }

    fn by_service(&self) -> [(&'static str, &SqlitePool); 3] {
        [
            (TICKETS_SERVICE.as_str(), &self.tickets),
            (ORDERS_SERVICE.as_str(), &self.orders),
            (PAYMENTS_SERVICE.as_str(), &self.payments),
        ]
    }

    /// Whether nothing in them is on its way from one state to another.
    pub(crate) async fn are_quiet(&self) -> anyhow::Result<bool> {
        for (_, pool) in self.by_service() {
            if count(pool, "event_outbox").await? + count(pool, "event_held").await? > 0 {
                return Ok(false);
            }
        }
        let open = "orders WHERE status NOT IN ('complete', 'cancelled')";
        let due = "payments WHERE status IN ('charging', 'refund_due')";
        Ok(count(&self.orders, open).await? + count(&self.payments, due).await? == 0)
    }
}

impl Facts {
    /// Reads everything, until nothing was delivered meanwhile: orders that came to their end long ago
    /// still expire, and half of that would look like a fault. Gives up after `patience`.
    pub(crate) async fn read(
        databases: &Databases,
        broker: &Broker,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let deadline = Instant::now() + patience;
        loop {
            let before = broker.consumers().await?;
            let Stored { events, others } = broker.stored().await?;
            let facts = Self {
                events,
                others,
                dead_letters: broker.dead_letters().await?,
                ..Self::read_databases(databases).await?
            };
            let consumers = broker.consumers().await?;
            let is_still = consumers == before && consumers.iter().all(Consumer::is_at_rest);
            if is_still || Instant::now() >= deadline {
                return Ok(Self { consumers, ..facts });
            }
            sleep(Duration::from_millis(50)).await; // schedules fire by the second: soon all is still
        }
    }

    pub(crate) async fn read_databases(databases: &Databases) -> anyhow::Result<Self> {
        let Databases {
            tickets,
            orders,
            payments,
            ledger,
        } = databases;
        let all_tickets = "SELECT * FROM tickets ORDER BY id";
        let all_orders = "SELECT * FROM orders ORDER BY id";
        let mut facts = Self {
            tickets: rows(tickets, all_tickets, Ticket::read).await?,
            reservations: pairs(tickets, "SELECT order_id, ticket_id FROM reservations").await?,
            ticket_replicas: rows(orders, all_tickets, TicketReplica::read).await?,
            titles: rows(payments, all_tickets, Title::read).await?,
            orders: rows(orders, all_orders, Order::read).await?,
            order_versions: pairs(orders, "SELECT id, version FROM orders").await?,
            money: rows(orders, all_orders, Money::read).await?,
            order_replicas: rows(payments, all_orders, Order::read_replica).await?,
            payments: rows(
                payments,
                "SELECT * FROM payments ORDER BY id",
                Payment::read,
            )
            .await?,
            charges: charges(ledger).await?,
            refunds: refunds(ledger).await?,
            declines: declines(ledger).await?,
            ..Self::default()
        };
        for (service, pool) in databases.by_service() {
            facts
                .unsent
                .insert(service, count(pool, "event_outbox").await?);
            facts.held.insert(service, count(pool, "event_held").await?);
            let inbox = "SELECT queue_group, source, event_id, applied_at FROM event_inbox";
            facts
                .handled
                .extend(rows(pool, inbox, Handled::read).await?);
            let guards = "SELECT queue_group, stream, key, version FROM event_guard";
            facts
                .guards
                .extend(rows(pool, guards, Guarded::read).await?);
        }
        Ok(facts)
    }

    /// How long events took from stream to handler, and from outbox to handler.
    pub(crate) fn latencies(&self) -> (Latencies, Latencies) {
        let events: BTreeMap<_, _> = self
            .events
            .iter()
            .map(|event| (&event.identity, event))
            .collect();
        let mut from_stream = Vec::new();
        let mut from_outbox = Vec::new();
        for handled in &self.handled {
            let Some(event) = events.get(&handled.identity) else {
                continue;
            };
            from_stream.push(between(event.stored, handled.at));
            // A scheduled event is written long before it is due.
            if event.subject != Subjects::ExpirationComplete {
                from_outbox.extend(event.written.map(|written| between(written, handled.at)));
            }
        }
        (Latencies::of(from_stream), Latencies::of(from_outbox))
    }
}

fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

async fn open(path: &Path) -> anyhow::Result<SqlitePool> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await
        .with_context(|| format!("database {} cannot be read", path.display()))
}

async fn count(pool: &SqlitePool, table: &'static str) -> anyhow::Result<i64> {
    let statement = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
    Ok(sqlx::query_scalar(statement).fetch_one(pool).await?)
}

async fn rows<T>(
    pool: &SqlitePool,
    statement: &'static str,
    read: impl Fn(&SqliteRow) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let rows = sqlx::query(statement).fetch_all(pool).await?;
    rows.iter().map(read).collect()
}

/// What has two columns, by the first.
async fn pairs<T>(pool: &SqlitePool, statement: &'static str) -> anyhow::Result<BTreeMap<String, T>>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    let pair = |row: &SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
    Ok(rows(pool, statement, pair).await?.into_iter().collect())
}

async fn charges(ledger: &SandboxLedger) -> anyhow::Result<Vec<Charge>> {
    let charges = ledger.charges().await?;
    Ok(charges
        .into_iter()
        .map(|charge| Charge {
            id: charge.charge.to_string(),
            order: charge.order.to_string(),
            amount: charge.amount.to_sql(),
        })
        .collect())
}

async fn refunds(ledger: &SandboxLedger) -> anyhow::Result<Vec<Refund>> {
    let refunds = ledger.refunds().await?;
    Ok(refunds
        .into_iter()
        .map(|refund| Refund {
            id: refund.refund.to_string(),
            charge: refund.charge.to_string(),
            order: refund.order.to_string(),
            amount: refund.amount.to_sql(),
        })
        .collect())
}

async fn declines(ledger: &SandboxLedger) -> anyhow::Result<Vec<String>> {
    let declines = ledger.declines().await?;
    Ok(declines
        .into_iter()
        .map(|decline| decline.order.to_string())
        .collect())
}

impl Ticket {
    fn read(row: &SqliteRow) -> anyhow::Result<Self> {
        let order = row.try_get::<Option<String>, _>("order_id")?;
        Ok(Self {
            id: row.try_get("id")?,
            version: row.try_get("version")?,
            title: row.try_get("title")?,
            price: row.try_get("price")?,
            seller: row.try_get("user_id")?,
            state: match (row.try_get("status")?, order) {
                ("for sale", None) => TicketState::ForSale,
                ("reserved", Some(order)) => TicketState::Reserved(order),
                ("sold", Some(order)) => TicketState::Sold(order),
                (status, order) => bail!("ticket is {status} for order {order:?}"),
            },
        })
    }

    /// What its replica in orders-service has of it.
    pub(crate) fn replica(&self) -> TicketReplica {
        TicketReplica {
            id: self.id.clone(),
            version: self.version,
            title: self.title.clone(),
            price: self.price,
            order: match &self.state {
                TicketState::ForSale => None,
                TicketState::Reserved(order) | TicketState::Sold(order) => Some(order.clone()),
            },
        }
    }
}

impl TicketReplica {
    fn read(row: &SqliteRow) -> anyhow::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            version: row.try_get("version")?,
            title: row.try_get("title")?,
            price: row.try_get("price")?,
            order: row.try_get("order_id")?,
        })
    }
}

impl Title {
    fn read(row: &SqliteRow) -> anyhow::Result<Self> {
        Ok(Self {
            ticket: row.try_get("id")?,
            text: row.try_get("title")?,
        })
    }
}

impl Order {
    /// As orders-service has it.
    fn read(row: &SqliteRow) -> anyhow::Result<Self> {
        Self::read_with(row, Timestamp::from_millisecond)
    }

    /// As payments-service has it.
    fn read_replica(row: &SqliteRow) -> anyhow::Result<Self> {
        Self::read_with(row, Timestamp::from_microsecond)
    }

    fn read_with(
        row: &SqliteRow,
        time: impl Fn(i64) -> Result<Timestamp, jiff::Error>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            ticket: row.try_get("ticket_id")?,
            user: row.try_get("user_id")?,
            price: row.try_get("price")?,
            state: match row.try_get("status")? {
                "created" | "awaiting:payment" | "open" => OrderState::Open,
                "complete" => OrderState::Complete,
                "cancelled" => OrderState::Cancelled,
                status => bail!("order is {status}"),
            },
            expires_at: time(row.try_get("expires_at")?)?,
        })
    }
}

impl Money {
    fn read(row: &SqliteRow) -> anyhow::Result<Self> {
        Ok(Self {
            order: row.try_get("id")?,
            payment: row.try_get("payment_id")?,
            refund: row.try_get("refund_id")?,
        })
    }
}

impl Payment {
    fn read(row: &SqliteRow) -> anyhow::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            order: row.try_get("order_id")?,
            amount: row.try_get("amount")?,
            state: match row.try_get("status")? {
                "charging" | "refund_due" => PaymentState::UnderWay,
                "declined" | "lapsed" => PaymentState::WithoutCharge,
                "charged" => PaymentState::Charged,
                "refunded" => PaymentState::Refunded,
                status => bail!("payment is {status}"),
            },
            charge: row.try_get("charge_id")?,
            refund: row.try_get("refund_id")?,
        })
    }
}

impl Guarded {
    /// And the last version that was applied.
    fn read(row: &SqliteRow) -> anyhow::Result<(Self, i64)> {
        let guarded = Self {
            group: row.try_get("queue_group")?,
            stream: row.try_get("stream")?,
            key: row.try_get("key")?,
        };
        Ok((guarded, row.try_get("version")?))
    }
}

impl Handled {
    fn read(row: &SqliteRow) -> anyhow::Result<Self> {
        let nanos: i64 = row.try_get("applied_at")?;
        Ok(Self {
            group: row.try_get("queue_group")?,
            identity: (row.try_get("source")?, row.try_get("event_id")?),
            at: Timestamp::from_nanosecond(nanos.into())?,
        })
    }
}
