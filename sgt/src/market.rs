//! A market in tickets, which the demo and the soak share: people who trade over HTTP, the books and streams that
//! this leaves, and what must be true of them.

pub(crate) mod api;
pub(crate) mod broker;
pub(crate) mod counted;
pub(crate) mod counts;
pub(crate) mod facts;
pub(crate) mod invariants;
pub(crate) mod latency;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod run_folder;
pub(crate) mod sale;
pub(crate) mod settle;
