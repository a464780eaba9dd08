use common::events::{Cents, ChargeId, OrderId, PaymentId};
use jiff::Timestamp;

use crate::gateway::{Attempt, IdempotencyKey};

/// The payment of an order: there is at most one, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) id: PaymentId,
    pub(crate) order: OrderId,
    pub(crate) amount: Cents,
    pub(crate) attempt: Attempt,
    pub(crate) claim: Claim,
    /// From this moment on the gateway does not carry out the attempt's request any more.
    pub(crate) deadline: Timestamp,
    pub(crate) state: PaymentState,
}

impl Payment {
    /// By which the gateway knows the present attempt.
    pub(crate) fn charge_key(&self) -> IdempotencyKey {
        IdempotencyKey::charge(self.order, self.attempt)
    }
}

/// What has become of a payment.
///
/// ```text
///            .--> declined --.  another attempt
///            |               |
/// charging --+--> lapsed ----+--> charging
///            |               the same attempt
///            |
///            '--> charged --> refund due --> refunded
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PaymentState {
    /// The gateway was asked, and its answer is not known. It may have charged.
    Charging,
    /// The gateway has said no. The next attempt has a key of its own.
    Declined,
    /// The request was lost on its way: nothing is charged, and no answer can come any more. The
    /// next request is the same attempt under the same key, so that even a gateway that breaks its
    /// word about the deadline does not charge twice.
    Lapsed,
    /// The money is taken.
    Charged(ChargeId),
    /// The money is taken for an order that was cancelled.
    RefundDue(ChargeId),
    /// The money is given back.
    Refunded(ChargeId),
}

impl PaymentState {
    pub(crate) const CHARGING: &str = "charging";
    pub(crate) const DECLINED: &str = "declined";
    pub(crate) const LAPSED: &str = "lapsed";
    pub(crate) const CHARGED: &str = "charged";
    pub(crate) const REFUND_DUE: &str = "refund_due";
    pub(crate) const REFUNDED: &str = "refunded";

    /// The state as the database keeps it: its name, and the charge if there was one.
    pub(crate) fn read(status: &str, charge: Option<ChargeId>) -> Result<Self, UnknownState> {
        match (status, charge) {
            (Self::CHARGING, _) => Ok(Self::Charging),
            (Self::DECLINED, _) => Ok(Self::Declined),
            (Self::LAPSED, _) => Ok(Self::Lapsed),
            (Self::CHARGED, Some(charge)) => Ok(Self::Charged(charge)),
            (Self::REFUND_DUE, Some(charge)) => Ok(Self::RefundDue(charge)),
            (Self::REFUNDED, Some(charge)) => Ok(Self::Refunded(charge)),
            _ => Err(UnknownState),
        }
    }
}

/// The text is no state of a payment, or one that has a charge, and there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no state of a payment with or without this charge")]
pub(crate) struct UnknownState;

/// Which of the requests that were let through to the gateway it is, the first being 1.
///
/// A decline or a lapse counts only for the claim that it was observed for: an answer that was held
/// up cannot end a later request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim(pub(crate) i64);

impl Claim {
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
