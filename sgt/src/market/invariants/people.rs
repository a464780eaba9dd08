//! What sellers and buyers asked for, and what they were told.

use std::collections::{BTreeMap, BTreeSet};

use super::super::counted::Counted;
use super::super::facts::{Facts, OrderState};
use super::super::sale::{Account, Ids};
use super::{Verdict, by_id};

/// What was said to be done is done, and all that is there was said.
pub(super) fn told_the_truth(facts: &Facts, told: &Account) -> Verdict {
    let mut broken = Vec::new();
    let mut done_if_told = |noun: &str, state: &str, told: &Ids, done: BTreeSet<&str>| {
        let lies = told.0.iter().filter(|id| !done.contains(id.as_str()));
        broken.extend(
            lies.map(|id| format!("somebody was told that {noun} {id} is {state}, and it is not")),
        );
    };
    let tickets: BTreeSet<_> = facts.tickets.iter().map(|one| one.id.as_str()).collect();
    let orders: BTreeSet<_> = facts.orders.iter().map(|one| one.id.as_str()).collect();
    let charged = facts.charges.iter().map(|charge| charge.order.as_str());
    let declined = facts.declines.iter().map(String::as_str);
    let in_state = |state| -> BTreeSet<_> {
        let orders = facts.orders.iter().filter(|order| order.state == state);
        orders.map(|order| order.id.as_str()).collect()
    };
    let cancelled = in_state(OrderState::Cancelled);
    let complete = in_state(OrderState::Complete);
    done_if_told("ticket", "listed", &told.listed, tickets.clone());
    done_if_told("order", "taken", &told.ordered, orders.clone());
    done_if_told("order", "paid", &told.paid, charged.collect());
    done_if_told(
        "the card of order",
        "declined",
        &told.declined,
        declined.collect(),
    );
    done_if_told("order", "cancelled", &told.cancelled, cancelled.clone());
    done_if_told("order", "cancelled", &told.seen_cancelled, cancelled);
    done_if_told("order", "complete", &told.seen_complete, complete);
    for order in &facts.orders {
        if let Some((buyer, ticket)) = told.placed.get(&order.id)
            && (buyer, ticket) != (&order.user, &order.ticket)
        {
            broken.push(format!(
                "order {} was placed by {buyer} for {ticket}, and is of {} for {}",
                order.id, order.user, order.ticket
            ));
        }
    }
    let mut untold = |what: &str, id: &str| {
        broken.push(format!("{what} {id} is there, and nobody was told"));
    };
    let mut listings = told.unsure.listings.clone();
    for ticket in &facts.tickets {
        if !told.listed.0.contains(&ticket.id) && !explain(&mut listings, &ticket.title) {
            untold("ticket", &ticket.id);
        }
    }
    let mut placed = told.unsure.orders.clone();
    for order in &facts.orders {
        let wish = (order.user.clone(), order.ticket.clone());
        if !told.ordered.0.contains(&order.id) && !explain(&mut placed, &wish) {
            untold("order", &order.id);
        }
    }
    Verdict::new(
        "sellers and buyers were told what is so",
        format!(
            "{}, {}, {}",
            Counted(told.listed.len(), "listing"),
            Counted(told.ordered.len(), "order"),
            Counted(told.paid.len(), "payment")
        ),
        broken,
    )
}

/// Whether somebody asked for it and heard nothing. Each request explains one.
fn explain<Q: Ord + ?Sized, K: Ord + std::borrow::Borrow<Q>>(
    unsure: &mut BTreeMap<K, u32>,
    asked: &Q,
) -> bool {
    match unsure.get_mut(asked) {
        Some(left @ 1..) => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

/// A ticket is its seller's, at the price that was asked last; and whoever ordered it has a price that was asked once.
pub(super) fn priced_as_asked(facts: &Facts, told: &Account) -> Verdict {
    let mut broken = Vec::new();
    let mut ever_asked = BTreeMap::new();
    for ticket in &facts.tickets {
        let Some(asked) = told.asked.get(&ticket.title) else {
            broken.push(format!("nobody has listed ticket {}", ticket.id));
            continue;
        };
        if ticket.seller != asked.seller {
            broken.push(format!(
                "ticket {} is of {}, and {} has listed it",
                ticket.id, ticket.seller, asked.seller
            ));
        }
        let first = BTreeSet::from([asked.price]);
        let last = told.prices.get(&ticket.id).unwrap_or(&first);
        if !costs(ticket.price, last) {
            broken.push(format!(
                "ticket {} costs {}, and its seller asks {last:?}",
                ticket.id, ticket.price
            ));
        }
        ever_asked.insert(ticket.id.as_str(), &first | last);
    }
    for order in &facts.orders {
        if let Some(prices) = ever_asked.get(order.ticket.as_str())
            && !costs(order.price, prices)
        {
            broken.push(format!(
                "order {} is at {}, and its seller has asked {prices:?}",
                order.id, order.price
            ));
        }
    }
    for order in by_id(&facts.orders, |order| &order.ticket).keys() {
        if !ever_asked.contains_key(order) {
            broken.push(format!("ticket {order} was ordered, and nobody sells it"));
        }
    }
    Verdict::new(
        "tickets and orders are at the prices that sellers asked",
        format!(
            "{}, {}",
            Counted(facts.tickets.len(), "ticket"),
            Counted(facts.orders.len(), "order")
        ),
        broken,
    )
}

fn costs(price: i64, asked: &BTreeSet<u32>) -> bool {
    u32::try_from(price).is_ok_and(|price| asked.contains(&price))
}
