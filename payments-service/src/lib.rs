//! Takes the money for an order, once, and gives it back when the order is cancelled.

mod clock;
mod gateway;

pub use clock::Clock;
pub use gateway::{
    Attempt, ChargeAnswer, ChargeRequest, IdempotencyKey, InvalidAttempt, InvalidToken,
    LedgerCharge, LedgerDecline, LedgerError, LedgerRefund, OutcomeUnknown, PaymentGateway,
    RefundRequest, SandboxGateway, SandboxLedger, TestToken, Token,
};
