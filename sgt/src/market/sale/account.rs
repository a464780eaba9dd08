use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use super::super::counted::{Counted, counted};

/// What sellers and buyers did, and what they were told.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    /// Tickets listed.
    pub(crate) listed: Ids,
    /// Tickets whose price was changed before the sale.
    pub(crate) repriced: u32,
    /// Orders that were taken.
    pub(crate) ordered: Ids,
    /// Tickets that several wanted at once.
    pub(crate) contests: u32,
    /// Buyers who were told that somebody else was first.
    pub(crate) beaten: u32,
    /// Orders whose payment was taken.
    pub(crate) paid: Ids,
    /// Orders whose card was declined.
    pub(crate) declined: Ids,
    /// Payments whose outcome the gateway did not tell.
    pub(crate) unanswered: u32,
    /// Orders that their buyers cancelled.
    pub(crate) cancelled: Ids,
    /// Orders that nobody meant to pay.
    pub(crate) let_expire: Ids,
    /// Cancellations that came after the payment.
    pub(crate) cancelled_too_late: u32,
    /// Payments that came after the end of the order.
    pub(crate) paid_too_late: u32,
    /// Sellers who were told that their ticket is reserved.
    pub(crate) kept_from_repricing: u32,
    /// Times that a service asked for patience (503).
    pub(crate) unavailable: u32,
    /// Requests that were not answered, and asked again.
    pub(crate) lost_answers: u32,
    /// Orders that their buyers have seen complete.
    #[serde(skip)]
    pub(crate) seen_complete: Ids,
    /// Orders that their buyers have seen cancelled.
    #[serde(skip)]
    pub(crate) seen_cancelled: Ids,
    /// Who placed an order, and for which ticket, by the order.
    #[serde(skip)]
    pub(crate) placed: BTreeMap<String, (String, String)>,
    /// What sellers asked, by the title of the ticket, which no other has.
    #[serde(skip)]
    pub(crate) asked: BTreeMap<String, Asked>,
    /// What a ticket may cost in the end whose seller has changed the price, by the ticket.
    #[serde(skip)]
    pub(crate) prices: BTreeMap<String, BTreeSet<u32>>,
    #[serde(skip)]
    pub(crate) unsure: Unsure,
    /// What the contract does not allow, one line each.
    pub(crate) unexpected: Vec<String>,
}

/// What a seller asks for a ticket, to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) seller: String,
    pub(crate) price: u32,
}

/// What was asked for and not answered, and how often: it may have been done, or be done later by a service that was
/// frozen with the request in its hands.
#[derive(Debug, Default)]
pub(crate) struct Unsure {
    /// Listings, by the title of the ticket, which no other has.
    pub(crate) listings: BTreeMap<String, u32>,
    /// Orders, by buyer and ticket.
    pub(crate) orders: BTreeMap<(String, String), u32>,
}

/// What somebody was told of, by its id. The report says only how many there are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids(pub(crate) BTreeSet<String>);

impl Account {
    pub(super) fn took(&mut self, order: &str, buyer: String, ticket: &str) {
        self.ordered.add(order);
        self.placed
            .insert(order.to_owned(), (buyer, ticket.to_owned()));
    }

    /// The price was asked for, and may have been taken.
    pub(super) fn may_cost(&mut self, ticket: &str, price: u32) {
        // Without an entry, it never had another.
        if let Some(prices) = self.prices.get_mut(ticket) {
            prices.insert(price);
        }
    }

    /// What became of the buyers, in one line.
    pub(crate) fn buyers(&self) -> String {
        let many = |number: u32, what| Counted(number as usize, what);
        counted([
            many(self.contests, "contest"),
            many(self.beaten, "loser"),
            Counted(self.declined.len(), "declined card"),
            many(self.unanswered, "silent gateway"),
            Counted(self.cancelled.len(), "cancellation"),
            many(self.cancelled_too_late, "late cancellation"),
            Counted(self.let_expire.len(), "unpaid order"),
            many(self.paid_too_late, "late payment"),
        ])
    }
}

impl Ids {
    pub(super) fn add(&mut self, id: &str) {
        self.0.insert(id.to_owned());
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Serialize for Ids {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.len().serialize(serializer)
    }
}
