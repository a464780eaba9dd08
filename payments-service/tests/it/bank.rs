//! A bank at the end of a road that the test controls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::events::RefundId;
use payments_service::{
    ChargeAnswer, ChargeRequest, IdempotencyKey, OutcomeUnknown, PaymentGateway, RefundRequest,
    SandboxGateway,
};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::timeout;

/// How long a test waits for what has to happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A gateway whose charges travel only as the test lets them.
#[derive(Debug, Clone)]
pub(crate) struct Road {
    bank: SandboxGateway,
    calls: mpsc::UnboundedSender<Call>,
    waiting: Arc<Mutex<mpsc::UnboundedReceiver<Call>>>,
    is_closed: Arc<AtomicBool>,
}

/// A charge that is on its way. Dropped, it is never answered.
#[derive(Debug)]
pub(crate) struct Call {
    request: ChargeRequest,
    bank: SandboxGateway,
    answer: oneshot::Sender<Result<ChargeAnswer, OutcomeUnknown>>,
}

impl Road {
    pub(crate) fn to(bank: SandboxGateway) -> Self {
        let (calls, waiting) = mpsc::unbounded_channel();
        Self {
            bank,
            calls,
            waiting: Arc::new(Mutex::new(waiting)),
            is_closed: Arc::default(),
        }
    }

    /// The next charge that sets out.
    pub(crate) async fn call(&self) -> Call {
        let mut waiting = self.waiting.lock().await;
        timeout(DEADLINE, waiting.recv()).await.unwrap().unwrap()
    }

    /// Nothing but charges gets through any more.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn open(&self) {
        self.is_closed.store(false, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), OutcomeUnknown> {
        if self.is_closed.load(Ordering::Relaxed) {
            Err(OutcomeUnknown::because("road is closed"))
        } else {
            Ok(())
        }
    }
}

impl Call {
    /// Reaches the bank, whether or not anybody still waits for the answer.
    pub(crate) async fn arrive(&self) -> Result<ChargeAnswer, OutcomeUnknown> {
        self.bank.charge(self.request.clone()).await
    }

    /// Brings the answer back, if somebody still waits for it.
    pub(crate) fn answer(self, answer: Result<ChargeAnswer, OutcomeUnknown>) {
        let _ = self.answer.send(answer);
    }
}

impl PaymentGateway for Road {
    async fn charge(&self, request: ChargeRequest) -> Result<ChargeAnswer, OutcomeUnknown> {
        let (answer, answered) = oneshot::channel();
        let bank = self.bank.clone();
        self.calls
            .send(Call {
                request,
                bank,
                answer,
            })
            .unwrap();
        answered.await.map_err(OutcomeUnknown::because)?
    }

    async fn find_charge(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<ChargeAnswer>, OutcomeUnknown> {
        self.check()?;
        self.bank.find_charge(key).await
    }

    async fn refund(&self, request: RefundRequest) -> Result<RefundId, OutcomeUnknown> {
        self.check()?;
        self.bank.refund(request).await
    }

    fn lateness(&self) -> Duration {
        self.bank.lateness()
    }
}

/// A gateway that answers what a worker asks, and hands the answers out when the test says so.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    bank: SandboxGateway,
    queue: watch::Sender<usize>,
    is_open: watch::Sender<bool>,
}

impl Counter {
    pub(crate) fn before(bank: SandboxGateway) -> Self {
        Self {
            bank,
            queue: watch::Sender::default(),
            is_open: watch::Sender::default(),
        }
    }

    /// Returns when so many requests are answered and kept waiting.
    pub(crate) async fn queued(&self, requests: usize) {
        let mut queue = self.queue.subscribe();
        let queued = queue.wait_for(|queued| *queued >= requests);
        timeout(DEADLINE, queued).await.unwrap().unwrap();
    }

    /// Hands out every answer.
    pub(crate) fn serve(&self) {
        self.is_open.send_replace(true);
    }

    async fn wait(&self) {
        self.queue.send_modify(|queued| *queued += 1);
        let mut is_open = self.is_open.subscribe();
        is_open.wait_for(|is_open| *is_open).await.unwrap();
    }
}

impl PaymentGateway for Counter {
    async fn charge(&self, request: ChargeRequest) -> Result<ChargeAnswer, OutcomeUnknown> {
        self.bank.charge(request).await
    }

    async fn find_charge(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<ChargeAnswer>, OutcomeUnknown> {
        let answer = self.bank.find_charge(key).await;
        self.wait().await;
        answer
    }

    async fn refund(&self, request: RefundRequest) -> Result<RefundId, OutcomeUnknown> {
        let answer = self.bank.refund(request).await;
        self.wait().await;
        answer
    }

    fn lateness(&self) -> Duration {
        self.bank.lateness()
    }
}
