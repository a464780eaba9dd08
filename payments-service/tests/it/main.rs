//! payments-service without a broker: a real database, a real ledger, real transactions.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by a panic"
)]

mod bank;
mod books;
mod cancelling;
mod crashing;
mod http;
mod interleaving;
mod ledger;
mod listening;
mod paying;
mod shop;
mod starting;
