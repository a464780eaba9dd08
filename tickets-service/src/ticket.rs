use common::Version;
use common::events::{Cents, OrderId, TicketCreated, TicketId, TicketUpdated, Title, UserId};
use serde::Deserialize;

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

impl From<&Ticket> for TicketCreated {
    fn from(ticket: &Ticket) -> Self {
        Self {
            id: ticket.id,
            version: ticket.version,
            title: ticket.title.clone(),
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
            title: ticket.title.clone(),
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
