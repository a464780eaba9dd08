use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cents, OrderId, TicketId, UserId};
use crate::{Carries, Event, Key, Subjects, Version};

/// Somebody wants a ticket.
///
/// Published by `orders-service` after commit, at least once. Order by [`version`](Self::version).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderCreated {
    /// The order, for its whole life.
    pub id: OrderId,
    /// Revision of the order: starts at 1, grows by one per published change.
    pub version: Version,
    /// Where the order stands.
    pub status: OrderStatus,
    /// The buyer.
    pub user_id: UserId,
    /// When an unpaid order is cancelled, RFC 3339 in UTC.
    pub expires_at: Timestamp,
    /// What is ordered, at the price of that moment.
    pub ticket: PricedTicket,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OrderStatus {
    /// The buyer has asked; the ticket's owner has not confirmed yet.
    #[serde(rename = "created")]
    Created,
    /// The ticket is reserved for this order.
    #[serde(rename = "awaiting:payment")]
    AwaitingPayment,
    /// Paid. It stays so.
    #[serde(rename = "complete")]
    Complete,
    /// Given up by the buyer, or not paid in time. It stays so.
    #[serde(rename = "cancelled")]
    Cancelled,
}

/// A ticket, and the price at which it was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PricedTicket {
    /// The ticket.
    pub id: TicketId,
    /// What the buyer pays, in minor currency units: 2500 is 25.00.
    pub price: Cents,
}

impl Event for OrderCreated {
    const SUBJECT: Subjects = Subjects::OrderCreated;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);
    const CARRIES: Carries = Carries::WholeState;

    fn key(&self) -> Key {
        self.id.to_key()
    }
}

/// An order was given up by its buyer, or was not paid in time.
///
/// Published by `orders-service` after commit, at least once. Order by [`version`](Self::version).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderCancelled {
    /// The order, for its whole life.
    pub id: OrderId,
    /// Revision of the order: starts at 1, grows by one per published change.
    pub version: Version,
    /// The ticket that was ordered.
    pub ticket: OrderedTicket,
}

/// The ticket of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderedTicket {
    /// The ticket.
    pub id: TicketId,
}

impl Event for OrderCancelled {
    const SUBJECT: Subjects = Subjects::OrderCancelled;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);

    fn key(&self) -> Key {
        self.id.to_key()
    }
}

/// An order was paid, and its ticket is sold.
///
/// Published by `orders-service` after commit, at least once. Order by [`version`](Self::version).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderCompleted {
    /// The order, for its whole life.
    pub id: OrderId,
    /// Revision of the order: starts at 1, grows by one per published change.
    pub version: Version,
    /// The ticket that was sold.
    pub ticket: OrderedTicket,
}

impl Event for OrderCompleted {
    const SUBJECT: Subjects = Subjects::OrderCompleted;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);

    fn key(&self) -> Key {
        self.id.to_key()
    }
}
