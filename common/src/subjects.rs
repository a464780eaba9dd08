use crate::events::{
    ExpirationComplete, OrderCancelled, OrderCompleted, OrderCreated, PaymentCreated,
    PaymentRefunded, TicketCreated, TicketUpdated,
};
use crate::name::{QueueGroup, StreamName};
use crate::subjects;

/// What happens to tickets.
pub const TICKETS: StreamName = StreamName::new("TICKETS");
/// What happens to orders.
pub const ORDERS: StreamName = StreamName::new("ORDERS");
/// What is due at a later moment.
pub const EXPIRATIONS: StreamName = StreamName::scheduled("EXPIRATIONS");
/// What happens to payments.
pub const PAYMENTS: StreamName = StreamName::new("PAYMENTS");

/// The service that sells tickets.
pub const TICKETS_SERVICE: QueueGroup = QueueGroup::new("tickets-service");
/// The service that takes orders.
pub const ORDERS_SERVICE: QueueGroup = QueueGroup::new("orders-service");
/// The service that takes money.
pub const PAYMENTS_SERVICE: QueueGroup = QueueGroup::new("payments-service");

subjects! {
    /// Every channel of the ticketing system: this list, and nothing else, is what its services
    /// may say to each other.
    pub enum Subjects {
        /// A ticket went on sale.
        TicketCreated: "ticket:created", stream TICKETS, from TICKETS_SERVICE, to [ORDERS_SERVICE, PAYMENTS_SERVICE];
        /// A ticket changed.
        TicketUpdated: "ticket:updated", stream TICKETS, from TICKETS_SERVICE, to [ORDERS_SERVICE, PAYMENTS_SERVICE];
        /// Somebody wants a ticket.
        OrderCreated: "order:created", stream ORDERS, from ORDERS_SERVICE, to [TICKETS_SERVICE, PAYMENTS_SERVICE];
        /// An order was given up, or not paid in time.
        OrderCancelled: "order:cancelled", stream ORDERS, from ORDERS_SERVICE, to [TICKETS_SERVICE, PAYMENTS_SERVICE];
        /// An order was paid.
        OrderCompleted: "order:completed", stream ORDERS, from ORDERS_SERVICE, to [TICKETS_SERVICE, PAYMENTS_SERVICE];
        /// The time to pay is over.
        ExpirationComplete: "expiration:complete", stream EXPIRATIONS, from ORDERS_SERVICE, to [ORDERS_SERVICE];
        /// An order's price was charged.
        PaymentCreated: "payment:created", stream PAYMENTS, from PAYMENTS_SERVICE, to [ORDERS_SERVICE];
        /// A charge was given back.
        PaymentRefunded: "payment:refunded", stream PAYMENTS, from PAYMENTS_SERVICE, to [ORDERS_SERVICE];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SubjectSet as _;

    #[test]
    fn name_of_every_subject_parses_back() {
        for &subject in Subjects::ALL {
            assert_eq!(subject.as_str().parse(), Ok(subject));
            assert_eq!(subject.to_string(), subject.as_str());
        }
    }

    #[test]
    fn misspelled_name_is_told_the_list() {
        let err = "ticket:create".parse::<Subjects>().unwrap_err();
        assert!(err.to_string().contains("ticket:created"), "{err}");
    }
}
