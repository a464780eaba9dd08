use common::events::{self, OrderCreated};
use common::{Failure, PAYMENTS_SERVICE, QueueGroup, TransactionalListener, Tx};

use crate::order::{Order, OrderStatus};
use crate::store::orders::{self, Added};

/// Adds the order, so that it can be paid.
#[derive(Debug, Clone, Copy)]
pub struct AddOnOrderCreated;

impl TransactionalListener for AddOnOrderCreated {
    type Event = OrderCreated;

    const QUEUE_GROUP: QueueGroup = PAYMENTS_SERVICE;

    async fn apply(&self, order: OrderCreated, tx: &mut Tx<'_>) -> Result<(), Failure> {
        match orders::add(tx, &Order::from(order)).await? {
            Added::New | Added::AlreadyThere => Ok(()),
        }
    }
}

impl From<OrderCreated> for Order {
    fn from(order: OrderCreated) -> Self {
        Self {
            id: order.id,
            buyer: order.user_id,
            ticket: order.ticket.id,
            price: order.ticket.price,
            expires_at: order.expires_at,
            status: match order.status {
                events::OrderStatus::Created | events::OrderStatus::AwaitingPayment => {
                    OrderStatus::Open
                }
                events::OrderStatus::Complete => OrderStatus::Complete,
                events::OrderStatus::Cancelled => OrderStatus::Cancelled,
            },
        }
    }
}
