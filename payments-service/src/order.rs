use std::fmt;
use std::str::FromStr;

use common::events::{Cents, OrderId, TicketId, UserId};
use jiff::Timestamp;

/// An order, as far as paying for it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    /// Who may pay.
    pub(crate) buyer: UserId,
    pub(crate) ticket: TicketId,
    /// What is charged: the price of the moment in which it was ordered.
    pub(crate) price: Cents,
    /// From this moment on nobody can pay.
    pub(crate) expires_at: Timestamp,
    pub(crate) status: OrderStatus,
}

/// Where an order stands, as orders-service has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderStatus {
    /// It waits to be paid.
    Open,
    /// It was paid. It stays so.
    Complete,
    /// It was given up. It stays so.
    Cancelled,
}

impl OrderStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for OrderStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        match text {
            "open" => Ok(Self::Open),
            "complete" => Ok(Self::Complete),
            "cancelled" => Ok(Self::Cancelled),
            _ => Err(UnknownStatus),
        }
    }
}

/// The text is no status of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no status of an order")]
pub(crate) struct UnknownStatus;

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
