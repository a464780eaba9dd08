use std::str::FromStr;

use common::Version;
use common::events::{
    Cents, OrderCancelled, OrderCompleted, OrderCreated, OrderId, OrderStatus, OrderedTicket,
    PricedTicket, TicketCreated, TicketId, TicketUpdated, Title, UserId,
};
use jiff::Timestamp;

/// An order as this service knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    /// Grows by one with each change that is published.
    pub(crate) version: Version,
    pub(crate) status: Status,
    pub(crate) buyer: UserId,
    pub(crate) ticket: TicketId,
    /// What the ticket cost when it was ordered.
    pub(crate) price: Cents,
    pub(crate) expires_at: Timestamp,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Placed; tickets-service has not confirmed yet.
    Created,
    /// The ticket is reserved for it.
    AwaitingPayment,
    /// Paid, for good.
    Complete,
    /// Given up or expired, for good.
    Cancelled,
}

impl Status {
    /// As the database and clients read it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::AwaitingPayment => "awaiting:payment",
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        match text {
            "created" => Ok(Self::Created),
            "awaiting:payment" => Ok(Self::AwaitingPayment),
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

impl From<Status> for OrderStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Created => Self::Created,
            Status::AwaitingPayment => Self::AwaitingPayment,
            Status::Complete => Self::Complete,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

/// A ticket as tickets-service has published it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) id: TicketId,
    pub(crate) version: Version,
    pub(crate) title: Title,
    pub(crate) price: Cents,
    /// The order that has reserved or bought it.
    pub(crate) holder: Option<OrderId>,
}

impl From<TicketCreated> for Ticket {
    fn from(event: TicketCreated) -> Self {
        Self {
            id: event.id,
            version: event.version,
            title: event.title,
            price: event.price,
            holder: None,
        }
    }
}

impl From<TicketUpdated> for Ticket {
    fn from(event: TicketUpdated) -> Self {
        Self {
            id: event.id,
            version: event.version,
            title: event.title,
            price: event.price,
            holder: event.order_id,
        }
    }
}

impl From<&Order> for OrderCreated {
    fn from(order: &Order) -> Self {
        Self {
            id: order.id,
            version: order.version,
            status: order.status.into(),
            user_id: order.buyer.clone(),
            expires_at: order.expires_at,
            ticket: PricedTicket {
                id: order.ticket,
                price: order.price,
            },
        }
    }
}

impl From<&Order> for OrderCancelled {
    fn from(order: &Order) -> Self {
        Self {
            id: order.id,
            version: order.version,
            ticket: OrderedTicket { id: order.ticket },
        }
    }
}

impl From<&Order> for OrderCompleted {
    fn from(order: &Order) -> Self {
        Self {
            id: order.id,
            version: order.version,
            ticket: OrderedTicket { id: order.ticket },
        }
    }
}
