//! Takes the money for an order, once, and gives it back when the order is cancelled.

mod cashier;
mod clock;
mod gateway;
pub mod listeners;
mod order;
mod payment;
mod store;
mod worker;

pub use cashier::{Cashier, PayError, StoreError};
pub use clock::Clock;
pub use gateway::{
    Attempt, ChargeAnswer, ChargeRequest, IdempotencyKey, InvalidAttempt, InvalidToken,
    LedgerCharge, LedgerDecline, LedgerError, LedgerRefund, OutcomeUnknown, PaymentGateway,
    RefundRequest, SandboxGateway, SandboxLedger, TestToken, Token,
};
pub use worker::Worker;
