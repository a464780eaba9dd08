//! The payment gateway, as this service needs it: charge, find a charge again, refund.

use std::error::Error;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use common::BoxError;
use common::events::{Cents, ChargeId, OrderId, RefundId};
use jiff::Timestamp;
use serde::Deserialize;

mod ledger;
mod sandbox;

pub(crate) use ledger::file_named;
pub use ledger::{LedgerCharge, LedgerDecline, LedgerError, LedgerRefund, SandboxLedger};
pub use sandbox::{SandboxGateway, TestToken};

/// Takes money, and gives it back.
///
/// What this service relies on, and an adapter has to keep:
///
/// - **The first answer to a key is the answer.** However often, and from how many replicas, a key
///   is sent, it charges once, and a key that was declined stays declined.
/// - **A charge has a deadline.** A request that is carried out later than its
///   [`deadline`](ChargeRequest::deadline) plus [`lateness`](Self::lateness) charges nothing. So
///   [`find_charge`](Self::find_charge) that finds nothing after that moment is final.
pub trait PaymentGateway: Send + Sync + 'static {
    /// Charges what the token stands for.
    ///
    /// # Errors
    ///
    /// [`OutcomeUnknown`] if the gateway did not answer: it may have charged.
    fn charge(
        &self,
        request: ChargeRequest,
    ) -> impl Future<Output = Result<ChargeAnswer, OutcomeUnknown>> + Send;

    /// Looks up what a key was answered. `None`: nothing has been answered so far.
    ///
    /// # Errors
    ///
    /// [`OutcomeUnknown`] if the gateway did not answer.
    fn find_charge(
        &self,
        key: &IdempotencyKey,
    ) -> impl Future<Output = Result<Option<ChargeAnswer>, OutcomeUnknown>> + Send;

    /// Gives a charge back, the whole of it.
    ///
    /// # Errors
    ///
    /// [`OutcomeUnknown`] if the gateway did not answer: it may have refunded.
    fn refund(
        &self,
        request: RefundRequest,
    ) -> impl Future<Output = Result<RefundId, OutcomeUnknown>> + Send;

    /// How long after its deadline a request that is still under way may charge.
    fn lateness(&self) -> Duration;
}

/// What is to be charged, and by when.
#[derive(Debug, Clone)]
pub struct ChargeRequest {
    /// The same for every request of one attempt.
    pub key: IdempotencyKey,
    /// The order that is paid.
    pub order: OrderId,
    /// How much.
    pub amount: Cents,
    /// What the buyer reads on the statement.
    pub description: String,
    /// What stands for the buyer's card.
    pub token: Token,
    /// From this moment on the request must not be carried out any more.
    pub deadline: Timestamp,
}

/// What the gateway says to a charge, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargeAnswer {
    /// The money is taken.
    Charged(ChargeId),
    /// The money is not taken, and never will be under this key.
    Declined,
}

/// What is to be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRequest {
    /// The same for every request of one order's refund.
    pub key: IdempotencyKey,
    /// The order that had been paid.
    pub order: OrderId,
    /// The charge that is given back.
    pub charge: ChargeId,
    /// How much: all that was charged.
    pub amount: Cents,
}

/// The gateway did not say what became of a request. It may have been carried out.
#[derive(Debug, thiserror::Error)]
#[error("payment gateway did not say what became of the request")]
pub struct OutcomeUnknown(#[source] BoxError);

impl OutcomeUnknown {
    /// Unknown, for this reason.
    pub fn because(reason: impl Into<BoxError>) -> Self {
        Self(reason.into())
    }

    /// Unknown, for there was no answer within this time.
    #[must_use]
    pub fn silent_for(waited: Duration) -> Self {
        Self::because(Silence { waited })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {waited:?}")]
struct Silence {
    waited: Duration,
}

/// By which the gateway recognises a request that it has seen before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of one attempt to charge for an order.
    #[must_use]
    pub fn charge(order: OrderId, attempt: Attempt) -> Self {
        Self(format!("{order}:{attempt}"))
    }

    /// The key of an order's refund. There is one for ever, however many attempts paying took.
    #[must_use]
    pub fn refund(order: OrderId) -> Self {
        Self(format!("refund:{order}"))
    }

    /// The key as the gateway reads it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which attempt at paying for an order it is, the first being 1. It rises only after a definite decline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(NonZeroU32);

impl Attempt {
    /// The first attempt.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The attempt after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The attempt as a database's BIGINT holds it.
    #[must_use]
    pub fn to_sql(self) -> i64 {
        i64::from(self.0.get())
    }
}

impl TryFrom<i64> for Attempt {
    type Error = InvalidAttempt;

    fn try_from(number: i64) -> Result<Self, InvalidAttempt> {
        u32::try_from(number)
            .ok()
            .and_then(NonZeroU32::new)
            .map(Self)
            .ok_or(InvalidAttempt { number })
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number is no attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{number} is no attempt: attempts are counted from 1")]
pub struct InvalidAttempt {
    number: i64,
}

/// What stands for a buyer's card: made by the gateway, used once, shown to nobody.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Token(Box<str>);

impl Token {
    /// The longest token that is accepted, in bytes.
    pub const LONGEST: usize = 255;

    /// The token, for the gateway.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let sound = (1..=Self::LONGEST).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if sound {
            Ok(Self(text.into()))
        } else {
            Err(InvalidToken)
        }
    }
}

impl TryFrom<String> for Token {
    type Error = InvalidToken;

    fn try_from(text: String) -> Result<Self, InvalidToken> {
        text.parse()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The text is no token. It is not repeated here: it may be one of another system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidToken;

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = Token::LONGEST;
        write!(
            f,
            "must be 1 to {longest} printable ASCII characters without spaces"
        )
    }
}

impl Error for InvalidToken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_names_order_and_attempt() {
        let order: OrderId = "0198c0de-0000-7000-8000-00000000000a".parse().unwrap();

        let second = IdempotencyKey::charge(order, Attempt::FIRST.next());

        assert_eq!(second.as_str(), "0198c0de-0000-7000-8000-00000000000a:2");
        assert_eq!(
            IdempotencyKey::refund(order).as_str(),
            "refund:0198c0de-0000-7000-8000-00000000000a"
        );
    }

    #[test]
    fn attempt_survives_the_database() {
        let second = Attempt::FIRST.next();
        assert_eq!(Attempt::try_from(second.to_sql()), Ok(second));
        for number in [0, -1, i64::MAX] {
            assert!(Attempt::try_from(number).is_err(), "{number}");
        }
    }

    #[test]
    fn token_is_bounded_and_never_shown() {
        let token: Token = "tok_visa".parse().unwrap();
        assert_eq!(format!("{token:?}"), "Token(..)");
        for text in ["", "tok visa", "tok\n", "tök", &"t".repeat(256)] {
            assert_eq!(text.parse::<Token>(), Err(InvalidToken), "{text:?}");
        }
    }
}
