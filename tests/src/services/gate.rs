use std::sync::Arc;
use std::time::Duration;

use common::events::RefundId;
use payments_service::{
    ChargeAnswer, ChargeRequest, IdempotencyKey, OutcomeUnknown, PaymentGateway, RefundRequest,
    SandboxGateway,
};
use tokio::sync::watch;

/// The sandbox behind a gate: while it is shut, charges wait on one side of the bank or the other.
///
/// Cheap to clone; clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    sandbox: SandboxGateway,
    shut: Arc<watch::Sender<Option<Side>>>,
    waiting: Arc<watch::Sender<usize>>,
}

/// Where a charge waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// On its way to the bank: nothing is charged yet.
    BeforeTheBank,
    /// On its way back: it is charged, and nobody here has heard.
    BehindTheBank,
}

impl Gate {
    pub(super) fn before(sandbox: SandboxGateway) -> Self {
        Self {
            sandbox,
            shut: Arc::new(watch::Sender::new(None)),
            waiting: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Lets no charge pass on this side.
    pub fn shut(&self, side: Side) {
        self.shut.send_replace(Some(side));
    }

    /// Lets every charge pass.
    pub fn open(&self) {
        self.shut.send_replace(None);
    }

    /// Completes when a charge waits at the gate.
    pub async fn somebody_waits(&self) {
        // This gate holds the sender, so that it is never gone.
        let _ = self
            .waiting
            .subscribe()
            .wait_for(|&waiting| waiting > 0)
            .await;
    }

    async fn pass(&self, side: Side) {
        let mut shut = self.shut.subscribe();
        if *shut.borrow_and_update() == Some(side) {
            let _place = Place::take(&self.waiting);
            let _ = shut.wait_for(|shut| *shut != Some(side)).await;
        }
    }
}

/// A place in front of the gate, given up also by a charge that nobody waits for any more.
struct Place(Arc<watch::Sender<usize>>);

impl Place {
    fn take(waiting: &Arc<watch::Sender<usize>>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(Arc::clone(waiting))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl PaymentGateway for Gate {
    async fn charge(&self, request: ChargeRequest) -> Result<ChargeAnswer, OutcomeUnknown> {
        self.pass(Side::BeforeTheBank).await;
        let answer = self.sandbox.charge(request).await;
        self.pass(Side::BehindTheBank).await;
        answer
    }

    async fn find_charge(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<ChargeAnswer>, OutcomeUnknown> {
        self.sandbox.find_charge(key).await
    }

    async fn refund(&self, request: RefundRequest) -> Result<RefundId, OutcomeUnknown> {
        self.sandbox.refund(request).await
    }

    fn lateness(&self) -> Duration {
        self.sandbox.lateness()
    }
}
