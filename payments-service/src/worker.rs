use std::future::pending;
use std::time::Duration;

use common::events::ChargeId;
use common::{Chain, Health, Severity};
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::time::sleep;
use tracing::warn;

use crate::cashier::{Cashier, StoreError};
use crate::clock::later;
use crate::gateway::{ChargeAnswer, IdempotencyKey, PaymentGateway, RefundRequest};
use crate::payment::{Payment, PaymentState};
use crate::store::payments::{self, Due, Taken};

/// How long to wait before looking for work again.
const PAUSE: Duration = Duration::from_millis(500);
/// How many payments one pass looks at.
const PASS: u32 = 64;
/// How many of them at once.
const AT_ONCE: usize = 8;
/// From how many looks on a payment is worth a person's attention: some 15 s after the first.
const STUCK: u32 = 6;
/// The part of the service that troubles are reported of.
const PART: &str = "payments worker";

/// Finishes what requests have left behind: refunds what is due, and asks the gateway what became of
/// charges whose outcome nobody wrote down.
///
/// It goes on for ever, less and less often, at most a minute apart. An unknown outcome is never taken for a
/// decline: a payment stays `charging` until the gateway tells of a charge or a decline, or until
/// nothing can come any more, which is after the request's deadline and the gateway's
/// [`lateness`](PaymentGateway::lateness).
///
/// Any number of replicas may run one. Two that look at one payment at once do no harm: the
/// gateway recognises the key, and the first to write the outcome down is the only one.
#[derive(Debug)]
pub struct Worker<G> {
    cashier: Cashier<G>,
    health: Health,
}

impl<G: PaymentGateway> Worker<G> {
    /// A worker that reports its troubles to `health`.
    #[must_use]
    pub fn new(cashier: &Cashier<G>, health: &Health) -> Self {
        Self {
            cashier: cashier.clone(),
            health: health.clone(),
        }
    }

    /// Works until `shutdown`, and ends what it has begun with the gateway.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let stop = shutdown.shared();
        loop {
            match self.pass_until(stop.clone()).await {
                Ok(()) => (),
                Err(err) => {
                    let message = format!("pauses: {}", Chain(&err));
                    self.health.report(PART, Severity::Warning, message);
                }
            }
            tokio::select! {
                biased;
                () = stop.clone() => return,
                () = sleep(PAUSE) => (), // Other replicas, and cancellations, make work without telling.
            }
        }
    }

    /// Looks once at what is due now.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database fails. The gateway's failures are waited out, and no error.
    pub async fn pass(&self) -> Result<(), StoreError> {
        self.pass_until(pending()).await
    }

    async fn pass_until(&self, stop: impl Future<Output = ()> + Send) -> Result<(), StoreError> {
        let database = self.cashier.database();
        let now = self.cashier.clock().now();
        let due = payments::due(database.reader(), now, PASS).await?;
        let looks = futures::stream::iter(due)
            .take_until(stop)
            .map(|due| self.look(due))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        looks.into_iter().collect::<Result<(), _>>()?;

        match payments::stuck(database.reader(), STUCK).await? {
            0 => self.health.clear(PART),
            stuck => {
                let message = format!("payments that wait for the gateway: {stuck}");
                self.health.report(PART, Severity::Warning, message);
            }
        }
        Ok(())
    }

    async fn look(&self, due: Due) -> Result<(), StoreError> {
        // The moment before the question: what is not found then is judged by it.
        let asked_at = self.cashier.clock().now();
        let next = later(asked_at, pause_after(due.looks));
        let mut tx = self.cashier.database().begin().await?;
        match payments::take(&mut tx, &due, next).await? {
            Taken::Ours => tx.commit().await?,
            Taken::Gone => return Ok(()),
        }
        let payment = due.payment;
        match &payment.state {
            PaymentState::Charging => self.resolve(&payment, asked_at).await,
            PaymentState::RefundDue(charge) => self.refund(&payment, charge).await,
            PaymentState::Declined
            | PaymentState::Lapsed
            | PaymentState::Charged(_)
            | PaymentState::Refunded(_) => Ok(()),
        }
    }

    /// Asks what became of a charge.
    async fn resolve(&self, payment: &Payment, asked_at: Timestamp) -> Result<(), StoreError> {
        let key = payment.charge_key();
        let gateway = self.cashier.gateway();
        match self.cashier.answer(gateway.find_charge(&key)).await {
            Ok(Some(ChargeAnswer::Charged(charge))) => {
                self.cashier.record_charge(payment, &charge).await?;
            }
            Ok(Some(ChargeAnswer::Declined)) => self.cashier.record_decline(payment).await?,
            Ok(None) if asked_at >= later(payment.deadline, gateway.lateness()) => {
                self.cashier.record_lapse(payment).await?;
            }
            Ok(None) => (),
            Err(unknown) => warn!(%key, error = %Chain(&unknown), "charge could not be looked up"),
        }
        Ok(())
    }

    /// Gives a charge back.
    async fn refund(&self, payment: &Payment, charge: &ChargeId) -> Result<(), StoreError> {
        let key = IdempotencyKey::refund(payment.order);
        let request = RefundRequest {
            key: key.clone(),
            order: payment.order,
            charge: charge.clone(),
            amount: payment.amount,
        };
        let gateway = self.cashier.gateway();
        match self.cashier.answer(gateway.refund(request)).await {
            Ok(refund) => self.cashier.record_refund(payment, refund).await?,
            Err(unknown) => warn!(%key, error = %Chain(&unknown), "charge could not be refunded"),
        }
        Ok(())
    }
}

/// How long to wait after that many looks: half a second, doubling, at most a minute.
fn pause_after(looks: u32) -> Duration {
    let pause = Duration::from_millis(500).saturating_mul(2_u32.saturating_pow(looks));
    pause.min(Duration::from_mins(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(looks: u32, millis: u64) {
        assert_eq!(pause_after(looks), Duration::from_millis(millis));
    }

    #[test]
    fn pause_doubles_up_to_a_minute() {
        check(0, 500);
        check(1, 1_000);
        check(6, 32_000);
        check(7, 60_000);
        check(u32::MAX, 60_000);
    }
}
