use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OrderId;
use crate::{Event, Key, Subjects};

/// The time to pay for an order is over.
///
/// Scheduled by `orders-service` when the order is created, delivered when it is due. A hint, never
/// the truth: the order itself knows when it expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpirationComplete {
    /// The order whose time is over.
    pub order_id: OrderId,
}

impl Event for ExpirationComplete {
    const SUBJECT: Subjects = Subjects::ExpirationComplete;

    fn key(&self) -> Key {
        self.order_id.to_key()
    }
}
