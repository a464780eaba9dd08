use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cents, OrderId, TicketId, Title, UserId};
use crate::{Carries, Event, Key, Subjects, Version};

/// A ticket went on sale.
///
/// Published by `tickets-service` after commit, at least once. Order by [`version`](Self::version).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketCreated {
    /// The ticket, for its whole life.
    pub id: TicketId,
    /// Revision of the ticket: starts at 1, grows by one per change.
    pub version: Version,
    /// What the seller calls it.
    pub title: Title,
    /// Face value in minor currency units: 2500 is 25.00.
    pub price: Cents,
    /// The seller.
    pub user_id: UserId,
}

impl Event for TicketCreated {
    const SUBJECT: Subjects = Subjects::TicketCreated;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);
    const CARRIES: Carries = Carries::WholeState;

    fn key(&self) -> Key {
        self.id.to_key()
    }
}

/// A ticket changed: its title, its price, or the order that holds it.
///
/// Published by `tickets-service` after commit, at least once. Order by [`version`](Self::version).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketUpdated {
    /// The ticket, for its whole life.
    pub id: TicketId,
    /// Revision of the ticket: starts at 1, grows by one per change.
    pub version: Version,
    /// What the seller calls it.
    pub title: Title,
    /// Face value in minor currency units: 2500 is 25.00.
    pub price: Cents,
    /// The seller.
    pub user_id: UserId,
    /// The order that has reserved or bought the ticket. Absent: the ticket is for sale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OrderId")]
    pub order_id: Option<OrderId>,
}

impl Event for TicketUpdated {
    const SUBJECT: Subjects = Subjects::TicketUpdated;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);
    const CARRIES: Carries = Carries::WholeState;

    fn key(&self) -> Key {
        self.id.to_key()
    }
}
