use common::Version;
use common::events::{Cents, OrderId, TicketCreated, TicketId, TicketUpdated, UserId};
use serde::{Deserialize, Serialize};

/// A ticket as this service knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) id: TicketId,
    /// Grows by one with each change that is published.
    pub(crate) version: Version,
    pub(crate) title: Title,
    pub(crate) price: Cents,
    pub(crate) seller: UserId,
    pub(crate) state: State,
}

impl Ticket {
    /// A ticket that goes on sale.
    pub(crate) fn new(offer: Offer, seller: UserId) -> Self {
        Self {
            id: TicketId::new(),
            version: Version::FIRST,
            title: offer.title,
            price: offer.price,
            seller,
            state: State::ForSale,
        }
    }
}

/// What a seller decides about a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Offer {
    pub(crate) title: Title,
    pub(crate) price: Cents,
}

/// Whose a ticket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    ForSale,
    Reserved(OrderId),
    /// For good.
    Sold(OrderId),
}

impl State {
    /// The order that has reserved or bought the ticket.
    pub(crate) fn holder(self) -> Option<OrderId> {
        match self {
            Self::ForSale => None,
            Self::Reserved(order) | Self::Sold(order) => Some(order),
        }
    }

    /// What follows when `standing` are the orders that were created and not cancelled.
    ///
    /// The holder stays while it is one of them, else the oldest of them holds the ticket. Orders
    /// come in any order to each other, and still everybody ends up with the same holder.
    pub(crate) fn given(self, standing: &[OrderId]) -> Self {
        match self {
            Self::Sold(order) => Self::Sold(order),
            Self::Reserved(order) if standing.contains(&order) => Self::Reserved(order),
            Self::Reserved(_) | Self::ForSale => standing
                .iter()
                .min()
                .copied()
                .map_or(Self::ForSale, Self::Reserved),
        }
    }

    /// What follows when `order` was paid, whoever holds the ticket. Sold to another, it stays that one's.
    pub(crate) fn completed(self, order: OrderId) -> Result<Self, SoldToAnother> {
        match self {
            Self::Sold(buyer) if buyer != order => Err(SoldToAnother { buyer, order }),
            Self::ForSale | Self::Reserved(_) | Self::Sold(_) => Ok(Self::Sold(order)),
        }
    }
}

/// A ticket cannot be sold twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("order {order} was paid, but the ticket is sold to order {buyer}")]
pub(crate) struct SoldToAnother {
    buyer: OrderId,
    order: OrderId,
}

/// What a seller calls a ticket: 1 to 200 characters without space around them, and no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Title(String);

impl Title {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Title {
    type Error = InvalidTitle;

    fn try_from(text: String) -> Result<Self, InvalidTitle> {
        let text = text.trim();
        if !(1..=200).contains(&text.chars().count()) {
            return Err(InvalidTitle::Length);
        }
        // No database stores a NUL, and no page shows the others.
        if text.chars().any(char::is_control) {
            return Err(InvalidTitle::ControlCharacter);
        }
        Ok(Self(text.to_owned()))
    }
}

impl From<Title> for String {
    fn from(title: Title) -> Self {
        title.0
    }
}

/// The text is no title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTitle {
    #[error("title must have 1 to 200 characters")]
    Length,
    #[error("title must not have control characters")]
    ControlCharacter,
}

impl From<&Ticket> for TicketCreated {
    fn from(ticket: &Ticket) -> Self {
        Self {
            id: ticket.id,
            version: ticket.version,
            title: ticket.title.as_str().to_owned(),
            price: ticket.price,
            user_id: ticket.seller.clone(),
        }
    }
}

impl From<&Ticket> for TicketUpdated {
    fn from(ticket: &Ticket) -> Self {
        Self {
            id: ticket.id,
            version: ticket.version,
            title: ticket.title.as_str().to_owned(),
            price: ticket.price,
            user_id: ticket.seller.clone(),
            order_id: ticket.state.holder(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, InvalidTitle>) {
        let title = Title::try_from(text.to_owned());
        assert_eq!(
            title.as_ref().map(Title::as_str).map_err(|&err| err),
            expected
        );
    }

    #[test]
    fn title_is_trimmed_and_bounded() {
        check("  a b ", Ok("a b"));
        check(&"é".repeat(200), Ok(&"é".repeat(200)));
        check(&"é".repeat(201), Err(InvalidTitle::Length));
        check("", Err(InvalidTitle::Length));
        check("\u{3000}\n", Err(InvalidTitle::Length));
        check("a\u{0}", Err(InvalidTitle::ControlCharacter));
        check("a\u{7f}b", Err(InvalidTitle::ControlCharacter));
    }

    fn orders() -> Vec<OrderId> {
        (0..6).map(|_| OrderId::new()).collect()
    }

    proptest! {
        #[test]
        fn holder_stays_while_it_stands_else_the_oldest_takes_its_place(
            present in proptest::collection::vec(any::<bool>(), 6),
            holder in 0_usize..6,
        ) {
            let orders = orders();
            let standing: Vec<_> = orders.iter().zip(&present).rev()
                .filter(|&(_, &present)| present).map(|(&order, _)| order).collect();
            let oldest = orders.iter().copied().find(|order| standing.contains(order));

            let next = State::Reserved(orders[holder]).given(&standing);
            if present[holder] {
                prop_assert_eq!(next, State::Reserved(orders[holder]));
            } else {
                prop_assert_eq!(next.holder(), oldest);
            }
            prop_assert_eq!(State::ForSale.given(&standing).holder(), oldest);
            let sold = State::Sold(orders[holder]);
            prop_assert_eq!(sold.given(&standing), sold);
        }
    }

    #[test]
    fn ticket_is_sold_to_whoever_paid_first_and_to_nobody_else() {
        let (first, second) = (OrderId::new(), OrderId::new());
        for state in [
            State::ForSale,
            State::Reserved(first),
            State::Reserved(second),
        ] {
            assert_eq!(state.completed(first), Ok(State::Sold(first)));
        }
        assert_eq!(State::Sold(first).completed(first), Ok(State::Sold(first)));
        assert!(State::Sold(first).completed(second).is_err());
    }
}
