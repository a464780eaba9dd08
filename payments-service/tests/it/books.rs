//! Whether our books and the bank's say the same.

use std::collections::BTreeMap;

use common::events::OrderId;
use sqlx::Row as _;

use crate::shop::Shop;

/// What is written of one order, here and at the bank.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Books {
    /// Charges at the bank.
    pub(crate) charges: usize,
    /// Refunds at the bank.
    pub(crate) refunds: usize,
    /// `payment:created` in the outbox.
    pub(crate) created: usize,
    /// `payment:refunded` in the outbox.
    pub(crate) refunded: usize,
    /// The payment's status.
    pub(crate) status: Option<String>,
}

impl Books {
    pub(crate) fn untouched() -> Self {
        Self::default()
    }

    pub(crate) fn unpaid(status: &str) -> Self {
        Self {
            status: Some(status.to_owned()),
            ..Self::default()
        }
    }

    pub(crate) fn paid() -> Self {
        Self {
            charges: 1,
            created: 1,
            status: Some("charged".to_owned()),
            ..Self::default()
        }
    }

    pub(crate) fn refunded() -> Self {
        Self {
            charges: 1,
            refunds: 1,
            created: 1,
            refunded: 1,
            status: Some("refunded".to_owned()),
        }
    }
}

impl Shop {
    /// The books of one order.
    pub(crate) async fn books(&self, order: OrderId) -> Books {
        self.all_books().await.remove(&order).unwrap_or_default()
    }

    /// The books of every order that somebody tried to pay.
    pub(crate) async fn all_books(&self) -> BTreeMap<OrderId, Books> {
        let mut books = BTreeMap::<OrderId, Books>::new();
        for charge in self.ledger.charges().await.unwrap() {
            books.entry(charge.order).or_default().charges += 1;
        }
        for refund in self.ledger.refunds().await.unwrap() {
            books.entry(refund.order).or_default().refunds += 1;
        }
        for event in sqlx::query("SELECT channel, key FROM event_outbox")
            .fetch_all(self.database.reader())
            .await
            .unwrap()
        {
            let order = event.get::<String, _>("key").parse().unwrap();
            let books = books.entry(order).or_default();
            match event.get::<String, _>("channel").as_str() {
                "payment:created" => books.created += 1,
                "payment:refunded" => books.refunded += 1,
                other => panic!("{other} is none of ours"),
            }
        }
        for payment in sqlx::query("SELECT order_id, status FROM payments")
            .fetch_all(self.database.reader())
            .await
            .unwrap()
        {
            let order = payment.get::<String, _>("order_id").parse().unwrap();
            books.entry(order).or_default().status = Some(payment.get("status"));
        }
        books
    }

    /// Every event of the outbox, as JSON.
    pub(crate) async fn published(&self) -> Vec<serde_json::Value> {
        sqlx::query("SELECT payload FROM event_outbox ORDER BY position")
            .fetch_all(self.database.reader())
            .await
            .unwrap()
            .iter()
            .map(|row| serde_json::from_str(row.get("payload")).unwrap())
            .collect()
    }
}
