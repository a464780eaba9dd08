use std::path::Path;

use common::events::OrderId;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _};

/// The databases of the services and the ledger of the bank, side by side in one connection.
#[derive(Debug, Clone)]
pub struct Books {
    pool: SqlitePool,
}

/// The files, and the names under which SQL finds them.
pub(super) const TICKETS: &str = "tickets";
pub(super) const ORDERS: &str = "orders";
pub(super) const PAYMENTS: &str = "payments";
pub(super) const BANK: &str = "bank";
const ALL: [&str; 4] = [TICKETS, ORDERS, PAYMENTS, BANK];

/// What the three services and the bank say of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// What orders-service says of it.
    pub order: String,
    /// What payments-service says of it. `None`: it has not heard of it.
    pub replica: Option<String>,
    /// What tickets-service says of its ticket. `None`: the ticket is not this order's.
    pub ticket: Option<String>,
    /// Whether orders-service knows of the ticket what tickets-service knows.
    pub tickets_agree: bool,
    /// What payments-service says of its payment. `None`: nobody has tried to pay.
    pub payment: Option<String>,
    /// Whether orders-service has recorded a payment, and a refund.
    pub recorded: (bool, bool),
    /// How often the bank was paid, and how often it gave back.
    pub bank: (i64, i64),
}

impl Story {
    /// The ticket is reserved, and nobody has paid.
    #[must_use]
    pub fn awaiting_payment() -> Self {
        Self {
            order: "awaiting:payment".to_owned(),
            replica: Some("open".to_owned()),
            ticket: Some("reserved".to_owned()),
            ..Self::cancelled()
        }
    }

    /// Charged once, complete, and the ticket is sold to it.
    #[must_use]
    pub fn complete() -> Self {
        Self {
            order: "complete".to_owned(),
            replica: Some("complete".to_owned()),
            ticket: Some("sold".to_owned()),
            tickets_agree: true,
            payment: Some("charged".to_owned()),
            recorded: (true, false),
            bank: (1, 0),
        }
    }

    /// Cancelled, never charged, and the ticket is not its any more.
    #[must_use]
    pub fn cancelled() -> Self {
        Self {
            order: "cancelled".to_owned(),
            replica: Some("cancelled".to_owned()),
            ticket: None,
            tickets_agree: true,
            payment: None,
            recorded: (false, false),
            bank: (0, 0),
        }
    }

    /// Cancelled, charged once, and given back once.
    #[must_use]
    pub fn refunded() -> Self {
        Self {
            payment: Some("refunded".to_owned()),
            recorded: (false, true),
            bank: (1, 1),
            ..Self::cancelled()
        }
    }

    /// The same with another status of the payment.
    #[must_use]
    pub fn with_payment(self, status: &str) -> Self {
        Self {
            payment: Some(status.to_owned()),
            ..self
        }
    }
}

/// What must be true of the books whatever has happened, each as a question for those it is not true of.
const LAWS: [(&str, &str); 9] = [
    (
        "a ticket is sold to one complete order, and a complete order has its ticket",
        "SELECT o.id FROM orders.orders o JOIN tickets.tickets t ON t.id = o.ticket_id
         WHERE (o.status = 'complete') <> (t.status = 'sold' AND t.order_id = o.id)",
    ),
    (
        "a sold ticket has an order",
        "SELECT t.id FROM tickets.tickets t LEFT JOIN orders.orders o ON o.id = t.order_id AND o.ticket_id = t.id
         WHERE t.status <> 'for sale' AND o.id IS NULL",
    ),
    (
        "orders-service follows tickets",
        "SELECT t.id FROM tickets.tickets t LEFT JOIN orders.tickets r ON r.id = t.id
         WHERE r.version IS NOT t.version OR r.price IS NOT t.price OR r.title IS NOT t.title
             OR r.order_id IS NOT t.order_id",
    ),
    (
        "payments-service follows titles",
        "SELECT t.id FROM tickets.tickets t LEFT JOIN payments.tickets r ON r.id = t.id WHERE r.title IS NOT t.title",
    ),
    (
        "payments-service follows orders",
        "SELECT o.id FROM orders.orders o LEFT JOIN payments.orders r ON r.id = o.id
         WHERE r.price IS NOT o.price OR r.user_id IS NOT o.user_id OR r.status IS NOT
             CASE WHEN o.status IN ('created', 'awaiting:payment') THEN 'open' ELSE o.status END",
    ),
    (
        "an order is charged at most once, its price, and given back at most once",
        "SELECT o.id FROM orders.orders o
         WHERE (SELECT COUNT(*) FROM bank.requests c WHERE c.order_id = o.id AND c.charge_id IS NOT NULL) > 1
             OR (SELECT COUNT(*) FROM bank.refunds f WHERE f.order_id = o.id) > 1
             OR EXISTS (SELECT 1 FROM bank.requests c WHERE c.order_id = o.id AND c.amount <> o.price)
             OR EXISTS (SELECT 1 FROM bank.refunds f WHERE f.order_id = o.id AND f.amount <> o.price)",
    ),
    (
        "what was charged is complete or given back, and never both",
        "SELECT c.order_id FROM bank.requests c LEFT JOIN orders.orders o ON o.id = c.order_id
             LEFT JOIN bank.refunds f ON f.charge_id = c.charge_id
         WHERE c.charge_id IS NOT NULL AND (o.status IS 'complete') = (f.refund_id IS NOT NULL)",
    ),
    (
        "a complete order was charged",
        "SELECT o.id FROM orders.orders o LEFT JOIN bank.requests c ON c.order_id = o.id AND c.charge_id IS NOT NULL
         WHERE o.status = 'complete' AND c.key IS NULL",
    ),
    (
        "payments and orders have written down what the bank has",
        "SELECT c.order_id FROM bank.requests c LEFT JOIN payments.payments p ON p.order_id = c.order_id
             LEFT JOIN bank.refunds f ON f.charge_id = c.charge_id LEFT JOIN orders.orders o ON o.id = c.order_id
         WHERE c.charge_id IS NOT NULL AND (p.charge_id IS NOT c.charge_id OR p.refund_id IS NOT f.refund_id
             OR o.refund_id IS NOT f.refund_id
             OR (o.status = 'complete' AND o.payment_id IS NOT p.id))",
    ),
];

impl Books {
    pub(super) fn open(folder: &Path) -> Self {
        let attach: Vec<_> = ALL
            .iter()
            .map(|name| format!("ATTACH '{}' AS {name}", file(folder, name)))
            .collect();
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .after_connect(move |connection, _| {
                let attach = attach.clone();
                Box::pin(async move {
                    for statement in attach {
                        sqlx::query(AssertSqlSafe(statement))
                            .execute(&mut *connection)
                            .await?;
                    }
                    Ok(())
                })
            })
            // In memory itself, it would take the others for databases in memory too.
            .connect_lazy_with(
                SqliteConnectOptions::new()
                    .filename(folder.join("books.db"))
                    .create_if_missing(true),
            );
        Self { pool }
    }

    /// What everybody says of an order. `None`: orders-service has none such.
    ///
    /// # Panics
    ///
    /// If the books cannot be read.
    pub async fn story(&self, order: OrderId) -> Option<Story> {
        let row = sqlx::query(
            "SELECT o.status, r.status, t.status, k.version IS (SELECT version FROM tickets.tickets WHERE id = o.ticket_id),
                 p.status, o.payment_id IS NOT NULL, o.refund_id IS NOT NULL,
                 (SELECT COUNT(*) FROM bank.requests c WHERE c.order_id = o.id AND c.charge_id IS NOT NULL),
                 (SELECT COUNT(*) FROM bank.refunds f WHERE f.order_id = o.id)
             FROM orders.orders o
                 LEFT JOIN payments.orders r ON r.id = o.id
                 LEFT JOIN tickets.tickets t ON t.order_id = o.id
                 LEFT JOIN orders.tickets k ON k.id = o.ticket_id
                 LEFT JOIN payments.payments p ON p.order_id = o.id
             WHERE o.id = $1",
        )
        .bind(order.to_string())
        .fetch_optional(&self.pool)
        .await
        .unwrap();
        row.as_ref().map(Story::read)
    }

    /// The first column of what a query finds, as text.
    ///
    /// # Panics
    ///
    /// If the books cannot be read so.
    pub async fn ask(&self, query: &str) -> Vec<String> {
        let rows = sqlx::query(AssertSqlSafe(query.to_owned()))
            .fetch_all(&self.pool)
            .await;
        rows.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// All rows of a table of the services' own, as text: who compares two of them sees every change.
    ///
    /// # Panics
    ///
    /// If the books cannot be read.
    pub async fn dump(&self, tables: &[&str]) -> Vec<String> {
        let mut dump = Vec::new();
        for table in tables {
            let (database, name) = table.split_once('.').unwrap();
            let columns = format!(
                "SELECT group_concat('quote(' || name || ')', '||'', ''||') FROM pragma_table_info('{name}', '{database}')"
            );
            let columns = self.ask(&columns).await.remove(0);
            let rows = format!("SELECT '{table}: ' || {columns} FROM {table} ORDER BY 1");
            dump.extend(self.ask(&rows).await);
        }
        dump
    }

    /// What is on its way from one state to another: unsent and held events, open charges and refunds.
    ///
    /// # Panics
    ///
    /// If the books cannot be read.
    pub async fn unfinished(&self) -> Vec<String> {
        let mut unfinished = Vec::new();
        for database in [TICKETS, ORDERS, PAYMENTS] {
            for table in ["event_outbox", "event_held"] {
                let query = format!(
                    "SELECT '{database}.{table}: ' || channel || '.' || key FROM {database}.{table}"
                );
                unfinished.extend(self.ask(&query).await);
            }
        }
        let due =
            "SELECT status || ' ' || order_id FROM payments.payments WHERE due_at IS NOT NULL";
        unfinished.extend(self.ask(due).await);
        unfinished
    }

    /// What is not as it must be once everything is settled. Empty is good.
    ///
    /// # Panics
    ///
    /// If the books cannot be read.
    pub async fn broken_laws(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for (law, query) in LAWS {
            let culprits = self.ask(query).await;
            if !culprits.is_empty() {
                broken.push(format!("{law}: {culprits:?}"));
            }
        }
        broken
    }
}

impl Story {
    fn read(row: &SqliteRow) -> Self {
        Self {
            order: row.get(0),
            replica: row.get(1),
            ticket: row.get(2),
            tickets_agree: row.get(3),
            payment: row.get(4),
            recorded: (row.get(5), row.get(6)),
            bank: (row.get(7), row.get(8)),
        }
    }
}

/// The path of a database.
pub(super) fn file(folder: &Path, name: &str) -> String {
    folder.join(name).with_extension("db").display().to_string()
}
