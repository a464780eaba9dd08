use std::sync::Arc;
use std::time::Duration;

use common::events::{
    ChargeId, OrderId, PaymentCreated, PaymentId, PaymentRefunded, RefundId, UserId,
};
use common::{Chain, Database, PublishError, Publisher as _};
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::clock::{Clock, later};
use crate::gateway::{ChargeAnswer, ChargeRequest, OutcomeUnknown, PaymentGateway, Token};
use crate::order::{Order, OrderStatus};
use crate::payment::Payment;
use crate::store::payments::{ChargeRecorded, Claimed, Ended, RefundRecorded};
use crate::store::{orders, payments, tickets};

/// The most of a ticket's title that a buyer reads on the statement, in characters.
const LONGEST_TITLE: usize = 100;

/// Takes the money for orders, and gives it back.
///
/// An order is charged once, for ever, however many requests, replicas and crashes there are:
///
/// 1. One transaction locks the order's row and writes the payment as `charging`: from now on every other
///    request is refused.
/// 2. The gateway is asked outside of any transaction, under a key made of order and attempt.
/// 3. Another transaction writes down what it said, and publishes it.
///
/// Whoever dies between two steps, or hears nothing, leaves a payment that is `charging`, and the
/// [`Worker`](crate::Worker) asks the gateway what became of it. Cheap to clone.
#[derive(Debug)]
pub struct Cashier<G> {
    database: Database,
    gateway: Arc<G>,
    clock: Clock,
    patience: Duration,
}

impl<G> Clone for Cashier<G> {
    fn clone(&self) -> Self {
        Self {
            database: self.database.clone(),
            gateway: Arc::clone(&self.gateway),
            clock: self.clock.clone(),
            patience: self.patience,
        }
    }
}

impl<G: PaymentGateway> Cashier<G> {
    /// A cashier who keeps the books in `database` and waits for `gateway` for as long as `patience`.
    #[must_use]
    pub fn new(database: &Database, gateway: G, clock: Clock, patience: Duration) -> Self {
        Self {
            database: database.clone(),
            gateway: Arc::new(gateway),
            clock,
            patience,
        }
    }

    /// Charges the order's price to the card that `token` stands for.
    ///
    /// It may be dropped at any moment: the worker finishes what was begun.
    ///
    /// # Errors
    ///
    /// [`PayError`] says what is now true of the money.
    pub async fn pay(
        &self,
        user: &UserId,
        order: OrderId,
        token: Token,
    ) -> Result<PaymentId, PayError> {
        let (payment, description) = self.claim(user, order).await?;
        let key = payment.charge_key();
        let request = ChargeRequest {
            key: key.clone(),
            order,
            amount: payment.amount,
            description,
            token,
            deadline: payment.deadline,
        };
        match self.answer(self.gateway.charge(request)).await {
            Ok(ChargeAnswer::Charged(charge)) => {
                match self.record_charge(&payment, &charge).await? {
                    Charged::Kept => Ok(payment.id),
                    Charged::RefundDue => Err(PayError::CancelledMeanwhile),
                    Charged::Contradicted => Err(PayError::Contradicted),
                }
            }
            Ok(ChargeAnswer::Declined) => {
                self.record_decline(&payment).await?;
                Err(PayError::Declined)
            }
            Err(unknown) => {
                warn!(%key, error = %Chain(&unknown), "outcome of a charge is unknown");
                Err(PayError::OutcomeUnknown(unknown))
            }
        }
    }

    /// Refuses, or lets this request alone through to the gateway.
    async fn claim(&self, user: &UserId, id: OrderId) -> Result<(Payment, String), PayError> {
        let mut tx = self.database.begin().await?;
        let order = orders::lock(&mut tx, id)
            .await?
            .ok_or(PayError::UnknownOrder)?;
        if order.buyer != *user {
            return Err(PayError::NotYours);
        }
        match order.status {
            OrderStatus::Open => (),
            OrderStatus::Complete => return Err(PayError::AlreadyPaid),
            OrderStatus::Cancelled => return Err(PayError::Cancelled),
        }
        let now = self.clock.now();
        let deadline = later(now, self.patience);
        let payment = match payments::claim(&mut tx, &order, deadline).await? {
            Claimed::Ours(payment) => payment,
            Claimed::BeingCharged => return Err(PayError::BeingCharged),
            Claimed::AlreadyPaid => return Err(PayError::AlreadyPaid),
        };
        if now >= order.expires_at {
            return Err(PayError::Expired);
        }
        let title = tickets::title(&mut tx, order.ticket).await?;
        tx.commit().await?;
        Ok((payment, description(&order, title.as_deref())))
    }

    /// Writes down that the payment was charged, and publishes it.
    pub(crate) async fn record_charge(
        &self,
        payment: &Payment,
        charge: &ChargeId,
    ) -> Result<Charged, StoreError> {
        let mut tx = self.database.begin().await?;
        let order = orders::lock(&mut tx, payment.order)
            .await?
            .ok_or(sqlx::Error::RowNotFound)?;
        let now = self.clock.now();
        let recorded = payments::record_charge(&mut tx, payment, charge, order.status, now).await?;
        match recorded {
            ChargeRecorded::Now => {
                let event = PaymentCreated {
                    id: payment.id,
                    order_id: payment.order,
                    amount: payment.amount,
                    charge_id: charge.clone(),
                };
                tx.publish(&event).await?;
                tx.commit().await?;
                info!(payment = %payment.id, order = %payment.order, order_status = %order.status, "charged");
            }
            ChargeRecorded::Already => (),
            ChargeRecorded::Contradicted => {
                error!(
                    payment = %payment.id, order = %payment.order, attempt = %payment.attempt, %charge,
                    "gateway tells of a charge that contradicts what it said before"
                );
                return Ok(Charged::Contradicted);
            }
        }
        Ok(match order.status {
            OrderStatus::Open | OrderStatus::Complete => Charged::Kept,
            OrderStatus::Cancelled => Charged::RefundDue,
        })
    }

    /// Writes down that the payment's present claim was declined.
    pub(crate) async fn record_decline(&self, payment: &Payment) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        match payments::record_decline(&mut tx, payment).await? {
            Ended::Now => {
                tx.commit().await?;
                info!(payment = %payment.id, order = %payment.order, attempt = %payment.attempt, "declined");
            }
            Ended::Before => (),
        }
        Ok(())
    }

    /// Writes down that the payment's present claim was lost on its way to the gateway.
    pub(crate) async fn record_lapse(&self, payment: &Payment) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        match payments::record_lapse(&mut tx, payment).await? {
            Ended::Now => {
                tx.commit().await?;
                info!(payment = %payment.id, order = %payment.order, attempt = %payment.attempt, "lapsed");
            }
            Ended::Before => (),
        }
        Ok(())
    }

    /// Writes down that the payment was refunded, and publishes it.
    pub(crate) async fn record_refund(
        &self,
        payment: &Payment,
        refund: RefundId,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        match payments::record_refund(&mut tx, payment, &refund).await? {
            RefundRecorded::Now => {
                let event = PaymentRefunded {
                    id: payment.id,
                    order_id: payment.order,
                    amount: payment.amount,
                    refund_id: refund,
                };
                tx.publish(&event).await?;
                tx.commit().await?;
                info!(payment = %payment.id, order = %payment.order, "refunded");
            }
            RefundRecorded::Already => (),
        }
        Ok(())
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn gateway(&self) -> &G {
        &self.gateway
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The gateway's answer, or that there was none for as long as we wait.
    pub(crate) async fn answer<T>(
        &self,
        request: impl Future<Output = Result<T, OutcomeUnknown>> + Send,
    ) -> Result<T, OutcomeUnknown> {
        timeout(self.patience, request)
            .await
            .unwrap_or_else(|_elapsed| Err(OutcomeUnknown::silent_for(self.patience)))
    }
}

/// What a charge that was written down is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charged {
    /// It pays for the order.
    Kept,
    /// The order was cancelled meanwhile: it is given back.
    RefundDue,
    /// The order has another charge. Somebody must look.
    Contradicted,
}

/// What the buyer reads on the statement.
fn description(order: &Order, title: Option<&str>) -> String {
    let id = order.id;
    match title {
        Some(title) => {
            let title: String = title.chars().take(LONGEST_TITLE).collect();
            format!("{title} (order {id})")
        }
        None => format!("Order {id}"),
    }
}

/// Why an order was not paid, or is not known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayError {
    /// Nobody has told of the order, or not yet. Nothing is charged.
    #[error("order is not known")]
    UnknownOrder,
    /// Another user's order. Nothing is charged.
    #[error("order is another user's")]
    NotYours,
    /// The order was cancelled before. Nothing is charged.
    #[error("order is cancelled")]
    Cancelled,
    /// The time to pay is over. Nothing is charged.
    #[error("order has expired")]
    Expired,
    /// The order was charged before. Nothing more is charged.
    #[error("order is already paid")]
    AlreadyPaid,
    /// Another request charges for the order, or its outcome is not known yet. Nothing more is charged.
    #[error("order is being charged")]
    BeingCharged,
    /// The gateway says no. Nothing is charged; another card may be tried.
    #[error("card was declined")]
    Declined,
    /// The order was cancelled while it was charged. The charge is given back.
    #[error("order was cancelled while it was charged, and the charge is given back")]
    CancelledMeanwhile,
    /// The gateway tells of a charge that it had declined, or of a second one. Somebody must look.
    #[error("payment gateway contradicts itself")]
    Contradicted,
    /// The gateway did not answer. The order may be charged; the worker finds out.
    #[error("outcome of the charge is unknown")]
    OutcomeUnknown(#[source] OutcomeUnknown),
    /// The database failed. If the gateway had been asked, the worker finds out what it did.
    #[error("payment could not be written down")]
    Store(#[source] StoreError),
}

impl<E: Into<StoreError>> From<E> for PayError {
    fn from(err: E) -> Self {
        Self::Store(err.into())
    }
}

/// Why something could not be written down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database is out of reach, or holds what it should not.
    #[error("database failed")]
    Database(#[from] sqlx::Error),
    /// The outbox did not take an event.
    #[error("event could not be published")]
    Publish(#[from] PublishError),
}
