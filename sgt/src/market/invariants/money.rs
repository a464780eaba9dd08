//! Who was charged, for what, and who knows.

use std::collections::{BTreeMap, BTreeSet};

use super::super::counted::Counted;
use super::super::facts::{Facts, OrderState, Payment, PaymentState, Refund};
use super::{Verdict, by_id, compare, shared};

/// Money is kept for what was sold, and for nothing else.
pub(super) fn charges_complete_or_refunded(facts: &Facts) -> Verdict {
    let mut broken = Vec::new();
    let orders = by_id(&facts.orders, |order| &order.id);
    let refunded: BTreeSet<_> = facts
        .refunds
        .iter()
        .map(|refund| refund.charge.as_str())
        .collect();
    for charge in &facts.charges {
        let is_refunded = refunded.contains(charge.id.as_str());
        let state = orders.get(charge.order.as_str()).map(|order| order.state);
        match (state, is_refunded) {
            (Some(OrderState::Complete), false) | (Some(OrderState::Cancelled), true) => {}
            _ => {
                let state = state.map_or("unknown".to_owned(), |state| format!("{state:?}"));
                let refund = if is_refunded {
                    "refunded"
                } else {
                    "not refunded"
                };
                let (charge, order) = (&charge.id, &charge.order);
                broken.push(format!(
                    "charge {charge} is {refund}, and its order {order} is {state}"
                ));
            }
        }
    }
    let charged: BTreeSet<_> = facts
        .charges
        .iter()
        .map(|charge| charge.order.as_str())
        .collect();
    for (id, order) in &orders {
        if order.state == OrderState::Complete && !charged.contains(id) {
            broken.push(format!("order {id} is complete and was never charged"));
        }
    }
    Verdict::new(
        "every charge's order is complete or refunded, never both",
        format!(
            "{}, {}",
            Counted(facts.charges.len(), "charge"),
            Counted(facts.refunds.len(), "refund")
        ),
        broken,
    )
}

/// Counted where a bank would count.
pub(super) fn nobody_charged_twice(facts: &Facts) -> Verdict {
    let mut broken = Vec::new();
    let charges = facts
        .charges
        .iter()
        .map(|charge| (charge.order.as_str(), charge.id.as_str()));
    for (order, charges) in shared(charges) {
        broken.push(format!(
            "order {order} was charged by {}",
            charges.join(" and ")
        ));
    }
    let refunds = facts
        .refunds
        .iter()
        .map(|refund| (refund.charge.as_str(), refund.id.as_str()));
    for (charge, refunds) in shared(refunds) {
        broken.push(format!(
            "charge {charge} was given back by {}",
            refunds.join(" and ")
        ));
    }
    Verdict::new(
        "no order charged twice, no charge given back twice",
        format!(
            "{}, {}",
            Counted(facts.charges.len(), "charge"),
            Counted(facts.refunds.len(), "refund")
        ),
        broken,
    )
}

/// The price that was fixed when the order was placed.
pub(super) fn charged_as_agreed(facts: &Facts) -> Verdict {
    let mut broken = Vec::new();
    let orders = by_id(&facts.orders, |order| &order.id);
    for charge in &facts.charges {
        if let Some(order) = orders.get(charge.order.as_str())
            && order.price != charge.amount
        {
            broken.push(format!(
                "charge {} of order {} is {}, its price {}",
                charge.id, charge.order, charge.amount, order.price
            ));
        }
    }
    Verdict::new(
        "every charge is the price of its order",
        Counted(facts.charges.len(), "charge").to_string(),
        broken,
    )
}

/// What payments-service believes is what the gateway did.
pub(super) fn ledger_agrees(facts: &Facts) -> Verdict {
    let mut broken = Vec::new();
    let charged = |payment: &&Payment| payment.charge.is_some();
    compare(
        &mut broken,
        "charge of order",
        (
            "the ledger",
            facts
                .charges
                .iter()
                .map(|charge| (charge.order.as_str(), (charge.id.as_str(), charge.amount)))
                .collect(),
        ),
        (
            "payments-service",
            facts
                .payments
                .iter()
                .filter(charged)
                .map(|payment| {
                    let charge = payment.charge.as_deref().unwrap_or_default();
                    (payment.order.as_str(), (charge, payment.amount))
                })
                .collect(),
        ),
    );
    compare(
        &mut broken,
        "refund of order",
        (
            "the ledger",
            facts
                .refunds
                .iter()
                .map(|refund| {
                    let Refund {
                        id, charge, amount, ..
                    } = refund;
                    let refund_of = (id.as_str(), charge.as_str(), *amount);
                    (refund.order.as_str(), refund_of)
                })
                .collect(),
        ),
        (
            "payments-service",
            facts
                .payments
                .iter()
                .filter_map(|payment| {
                    let refund = payment.refund.as_deref()?;
                    let charge = payment.charge.as_deref().unwrap_or_default();
                    Some((payment.order.as_str(), (refund, charge, payment.amount)))
                })
                .collect(),
        ),
    );
    for payment in &facts.payments {
        if payment.state == PaymentState::UnderWay {
            broken.push(format!(
                "payment of order {} has not come to an end",
                payment.order
            ));
        }
    }
    Verdict::new(
        "the gateway's ledger agrees with the payments",
        Counted(facts.payments.len(), "payment").to_string(),
        broken,
    )
}

/// What orders-service was told of the money is what payments-service did.
pub(super) fn orders_know_their_money(facts: &Facts) -> Verdict {
    let mut broken = Vec::new();
    let told: BTreeMap<_, _> = facts
        .money
        .iter()
        .map(|money| {
            (
                money.order.as_str(),
                (money.payment.as_deref(), money.refund.as_deref()),
            )
        })
        .filter(|(_, told)| *told != (None, None))
        .collect();
    let done = facts.payments.iter().filter_map(|payment| {
        let done = match payment.state {
            PaymentState::Charged => (Some(payment.id.as_str()), None),
            PaymentState::Refunded => (None, payment.refund.as_deref()),
            PaymentState::UnderWay | PaymentState::WithoutCharge => return None,
        };
        Some((payment.order.as_str(), done))
    });
    compare(
        &mut broken,
        "payment and refund of order",
        ("payments-service", done.collect()),
        ("orders-service", told),
    );
    Verdict::new(
        "every order knows its payment or refund",
        Counted(facts.orders.len(), "order").to_string(),
        broken,
    )
}
