use std::future;
use std::time::Duration;

use common::events::RefundId;
use tokio::time::sleep;

use super::ledger::Verdict;
use super::{
    ChargeAnswer, ChargeRequest, IdempotencyKey, OutcomeUnknown, PaymentGateway, RefundRequest,
    SandboxLedger, Token,
};
use crate::clock::Clock;

/// A gateway without a bank: the token decides, and a [`SandboxLedger`] remembers.
#[derive(Debug, Clone)]
pub struct SandboxGateway {
    ledger: SandboxLedger,
    clock: Clock,
    latency: Duration,
}

impl SandboxGateway {
    /// A gateway that writes to `ledger` and answers at once.
    #[must_use]
    pub fn new(ledger: SandboxLedger) -> Self {
        Self {
            ledger,
            clock: Clock::system(),
            latency: Duration::ZERO,
        }
    }

    /// How long a request is under way before it is carried out. The default is not at all.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// By which clock deadlines are kept. The default is the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What the bank has written down.
    #[must_use]
    pub fn ledger(&self) -> &SandboxLedger {
        &self.ledger
    }

    async fn travel(&self) {
        if !self.latency.is_zero() {
            sleep(self.latency).await; // The way to a real bank takes time.
        }
    }
}

impl PaymentGateway for SandboxGateway {
    async fn charge(&self, request: ChargeRequest) -> Result<ChargeAnswer, OutcomeUnknown> {
        self.travel().await;
        let charge = async |verdict| {
            self.ledger
                .charge(&request, verdict, || self.clock.now())
                .await
                .map_err(OutcomeUnknown::because)
        };
        match TestToken::of(&request.token) {
            TestToken::Visa => charge(Verdict::Charge).await,
            TestToken::ChargeDeclined | TestToken::Unknown => charge(Verdict::Decline).await,
            TestToken::Timeout => {
                charge(Verdict::Charge).await?;
                future::pending().await
            }
            TestToken::Lost => future::pending().await,
        }
    }

    async fn find_charge(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<ChargeAnswer>, OutcomeUnknown> {
        self.travel().await;
        self.ledger
            .find_charge(key)
            .await
            .map_err(OutcomeUnknown::because)
    }

    async fn refund(&self, request: RefundRequest) -> Result<RefundId, OutcomeUnknown> {
        self.travel().await;
        self.ledger
            .refund(&request)
            .await
            .map_err(OutcomeUnknown::because)
    }

    /// The ledger looks at the clock while it holds its lock, so nothing is late. The second allows
    /// for a clock that is set back between two looks.
    fn lateness(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// The tokens that the sandbox knows, by what they make it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TestToken {
    /// `tok_visa`: charged.
    Visa,
    /// `tok_chargeDeclined`: declined.
    ChargeDeclined,
    /// `tok_timeout`: charged, and never answered.
    Timeout,
    /// `tok_lost`: never answered, for the request did not arrive. Nothing is charged.
    Lost,
    /// Any other: declined, as a card that nobody knows.
    Unknown,
}

impl TestToken {
    /// What the token makes the sandbox do.
    #[must_use]
    pub fn of(token: &Token) -> Self {
        match token.expose() {
            "tok_visa" => Self::Visa,
            "tok_chargeDeclined" => Self::ChargeDeclined,
            "tok_timeout" => Self::Timeout,
            "tok_lost" => Self::Lost,
            _ => Self::Unknown,
        }
    }
}
