//! One valid sample of every event, with ids that no other sample has.
//!
//! Fields are public, so a test says what it is about and takes the rest:
//!
//! ```
//! use common::events::TicketCreated;
//! use common::testing::sample;
//!
//! let free = TicketCreated { title: sample::title("Nothing"), ..sample::ticket_created() };
//! assert_eq!(free.price, sample::cents(2500));
//! ```

use std::fmt::Debug;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::event::Event;
use crate::events::{
    Cents, ExpirationComplete, OrderCancelled, OrderCompleted, OrderCreated, OrderId, OrderStatus,
    OrderedTicket, PaymentCreated, PaymentId, PaymentRefunded, PricedTicket, TicketCreated,
    TicketId, TicketUpdated, Title, UserId,
};
use crate::subjects::Subjects;
use crate::version::Version;

/// A ticket at 25.00 that has just been offered.
#[must_use]
pub fn ticket_created() -> TicketCreated {
    Parts::fresh().ticket_created()
}

/// A ticket at 25.00 that has just been reserved for an order.
#[must_use]
pub fn ticket_updated() -> TicketUpdated {
    Parts::fresh().ticket_updated()
}

/// An order of a ticket at 25.00 that expires in 15 minutes.
#[must_use]
pub fn order_created() -> OrderCreated {
    Parts::fresh().order_created()
}

/// An order that was given up.
#[must_use]
pub fn order_cancelled() -> OrderCancelled {
    Parts::fresh().order_cancelled()
}

/// An order that was paid.
#[must_use]
pub fn order_completed() -> OrderCompleted {
    Parts::fresh().order_completed()
}

/// An order whose time is over.
#[must_use]
pub fn expiration_complete() -> ExpirationComplete {
    Parts::fresh().expiration_complete()
}

/// A charge of 25.00.
#[must_use]
pub fn payment_created() -> PaymentCreated {
    Parts::fresh().payment_created()
}

/// A charge of 25.00 that was given back.
#[must_use]
pub fn payment_refunded() -> PaymentRefunded {
    Parts::fresh().payment_refunded()
}

/// The JSON of one event of the subject, the same at each call: what documents show.
///
/// The samples tell one story: alice sells a ticket, bob orders and pays it.
#[must_use]
pub fn example(subject: Subjects) -> Value {
    let parts = Parts::fixed();
    match subject {
        Subjects::TicketCreated => json(&parts.ticket_created()),
        Subjects::TicketUpdated => json(&parts.ticket_updated()),
        Subjects::OrderCreated => json(&parts.order_created()),
        Subjects::OrderCancelled => json(&parts.order_cancelled()),
        Subjects::OrderCompleted => json(&parts.order_completed()),
        Subjects::ExpirationComplete => json(&parts.expiration_complete()),
        Subjects::PaymentCreated => json(&parts.payment_created()),
        Subjects::PaymentRefunded => json(&parts.payment_refunded()),
    }
}

/// An amount of so many minor units.
///
/// # Panics
///
/// If it is no amount: 0, or more than 2^53 - 1.
#[must_use]
#[track_caller]
pub fn cents(amount: u64) -> Cents {
    valid(Cents::try_from(amount))
}

/// A version.
///
/// # Panics
///
/// If it is none: 0, or more than 2^53 - 1.
#[must_use]
#[track_caller]
pub fn version(number: u64) -> Version {
    valid(Version::try_from(number))
}

/// A user of this name.
///
/// # Panics
///
/// If it is none: empty, longer than 128 bytes, or not printable ASCII.
#[must_use]
#[track_caller]
pub fn user(name: &str) -> UserId {
    text(name)
}

/// A title of this text.
///
/// # Panics
///
/// If it is none: empty, longer than 200 characters, or with control characters.
#[must_use]
#[track_caller]
pub fn title(text: &str) -> Title {
    self::text(text)
}

/// What the samples of one story have in common.
struct Parts {
    ticket: TicketId,
    order: OrderId,
    payment: PaymentId,
    expires_at: Timestamp,
}

impl Parts {
    fn fresh() -> Self {
        Self {
            ticket: TicketId::new(),
            order: OrderId::new(),
            payment: PaymentId::new(),
            expires_at: Timestamp::now() + SignedDuration::from_mins(15),
        }
    }

    fn fixed() -> Self {
        Self {
            ticket: text("01998f3c-6e00-7a3b-8c55-0d4b6f1e2a01"),
            order: text("01998f3d-5860-7c1d-9b72-3e8a51c0f402"),
            payment: text("01998f3e-42c0-7e44-a1d9-7b02c6d95e03"),
            expires_at: valid("2025-09-28T07:48:06Z".parse()),
        }
    }

    fn ticket_created(&self) -> TicketCreated {
        TicketCreated {
            id: self.ticket,
            version: Version::FIRST,
            title: title("Concert, row 12 seat 4"),
            price: cents(2500),
            user_id: user("alice"),
        }
    }

    fn ticket_updated(&self) -> TicketUpdated {
        let created = self.ticket_created();
        TicketUpdated {
            id: created.id,
            version: created.version.next(),
            title: created.title,
            price: created.price,
            user_id: created.user_id,
            order_id: Some(self.order),
        }
    }

    fn order_created(&self) -> OrderCreated {
        OrderCreated {
            id: self.order,
            version: Version::FIRST,
            status: OrderStatus::Created,
            user_id: user("bob"),
            expires_at: self.expires_at,
            ticket: PricedTicket {
                id: self.ticket,
                price: cents(2500),
            },
        }
    }

    fn order_cancelled(&self) -> OrderCancelled {
        OrderCancelled {
            id: self.order,
            version: version(2),
            ticket: OrderedTicket { id: self.ticket },
        }
    }

    fn order_completed(&self) -> OrderCompleted {
        OrderCompleted {
            id: self.order,
            version: version(2),
            ticket: OrderedTicket { id: self.ticket },
        }
    }

    fn expiration_complete(&self) -> ExpirationComplete {
        ExpirationComplete {
            order_id: self.order,
        }
    }

    fn payment_created(&self) -> PaymentCreated {
        PaymentCreated {
            id: self.payment,
            order_id: self.order,
            amount: cents(2500),
            charge_id: text(&format!("ch_{}", self.payment)),
        }
    }

    fn payment_refunded(&self) -> PaymentRefunded {
        PaymentRefunded {
            id: self.payment,
            order_id: self.order,
            amount: cents(2500),
            refund_id: text(&format!("re_{}", self.payment)),
        }
    }
}

fn json(event: &impl Event) -> Value {
    valid(serde_json::to_value(event))
}

#[track_caller]
fn text<T: FromStr<Err: Debug>>(text: &str) -> T {
    valid(text.parse())
}

#[track_caller]
fn valid<T, E: Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(err) => panic!("sample is not valid: {err:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_ids_of_their_own_and_examples_do_not_change() {
        assert_ne!(ticket_created().id, ticket_created().id);
        assert_eq!(
            example(Subjects::OrderCreated),
            example(Subjects::OrderCreated)
        );
    }
}
