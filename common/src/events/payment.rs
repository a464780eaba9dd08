use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cents, ChargeId, OrderId, PaymentId, RefundId};
use crate::{Event, Key, Subjects};

/// An order's price was charged.
///
/// Published by `payments-service` after commit, at least once, one per order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentCreated {
    /// The payment, for its whole life.
    pub id: PaymentId,
    /// The order that was paid.
    pub order_id: OrderId,
    /// What was charged, in minor currency units: 2500 is 25.00.
    pub amount: Cents,
    /// The charge, as the payment gateway names it.
    pub charge_id: ChargeId,
}

impl Event for PaymentCreated {
    const SUBJECT: Subjects = Subjects::PaymentCreated;

    fn key(&self) -> Key {
        self.order_id.to_key()
    }
}

/// The charge of an order that was cancelled was given back.
///
/// Published by `payments-service` after commit, at least once, at most one per order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRefunded {
    /// The payment, for its whole life.
    pub id: PaymentId,
    /// The order that had been paid.
    pub order_id: OrderId,
    /// What was given back, in minor currency units: 2500 is 25.00.
    pub amount: Cents,
    /// The refund, as the payment gateway names it.
    pub refund_id: RefundId,
}

impl Event for PaymentRefunded {
    const SUBJECT: Subjects = Subjects::PaymentRefunded;

    fn key(&self) -> Key {
        self.order_id.to_key()
    }
}
