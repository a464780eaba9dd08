use common::events::{OrderCompleted, PaymentCreated};
use common::{Failure, ORDERS_SERVICE, Publisher as _, QueueGroup, TransactionalListener, Tx};

use crate::store::{self, Completion};

/// Completes the order that was paid. A cancelled one stays cancelled: payments-service gives the money back.
pub(crate) struct CompleteOnPayment;

impl TransactionalListener for CompleteOnPayment {
    type Event = PaymentCreated;

    const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;

    async fn apply(&self, payment: PaymentCreated, tx: &mut Tx<'_>) -> Result<(), Failure> {
        match store::complete(tx, payment.order_id, payment.id, payment.amount).await? {
            Completion::Completed(order) => Ok(tx.publish(&OrderCompleted::from(&order)).await?),
            Completion::AlreadyComplete | Completion::Cancelled => Ok(()),
            Completion::PaidOtherwise => Err(Failure::reject("another payment has paid the order")),
            Completion::WrongAmount { price } => Err(Failure::reject(format!(
                "{} was paid for an order of {price}",
                payment.amount
            ))),
            Completion::NoSuchOrder => Err(Failure::reject("there is no such order")),
        }
    }
}
