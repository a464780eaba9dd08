//! The events of the ticketing system, one file per aggregate, and the values they are made of.

mod expiration;
mod id;
mod money;
mod order;
mod payment;
mod ticket;
mod title;

pub use expiration::ExpirationComplete;
pub use id::{ChargeId, InvalidId, OrderId, PaymentId, RefundId, TicketId, UserId};
pub use money::{Cents, InvalidCents};
pub use order::{
    OrderCancelled, OrderCompleted, OrderCreated, OrderStatus, OrderedTicket, PricedTicket,
};
pub use payment::{PaymentCreated, PaymentRefunded};
pub use ticket::{TicketCreated, TicketUpdated};
pub use title::{InvalidTitle, Title};
