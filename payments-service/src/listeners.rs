//! What this service does when others tell of orders and tickets.

mod add_on_order_created;
mod close_on_order_completed;
mod name_on_ticket_created;
mod name_on_ticket_updated;
mod refund_on_order_cancelled;

pub use add_on_order_created::AddOnOrderCreated;
pub use close_on_order_completed::CloseOnOrderCompleted;
pub use name_on_ticket_created::NameOnTicketCreated;
pub use name_on_ticket_updated::NameOnTicketUpdated;
pub use refund_on_order_cancelled::RefundOnOrderCancelled;

use common::events::OrderId;

use crate::order::OrderStatus;

/// Why an order does not take the turn that an event tells of.
#[derive(Debug, thiserror::Error)]
enum CannotClose {
    /// Its beginning may still arrive.
    #[error("order {order} is not known")]
    Unknown { order: OrderId },
    /// An order ends once. Whoever told of both ends is wrong.
    #[error("order {order} is {status} for ever")]
    EndedOtherwise { order: OrderId, status: OrderStatus },
}
