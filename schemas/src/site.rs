//! The catalogue: one page that a browser opens from the disk, with nothing from a network.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use common::{Contract, QueueGroup, SubjectSet, Topology};

use crate::documents::Documents;

mod delivery;
mod event;
mod fields;
mod flow;
mod html;

use html::escape;

/// The page, in the folder of the catalogue.
pub const PAGE: &str = "index.html";

const STYLE: &str = include_str!("site/style.css");
const SCRIPT: &str = include_str!("site/script.js");
/// Nothing is fetched, whatever the page should come to hold.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// The catalogue of the list `S`: the page, and the generated `documents`, to which it links.
#[must_use]
pub fn site<S: SubjectSet>(documents: &Documents) -> Documents {
    let contracts = Contract::<S>::all();
    let topology = Topology::of::<S>();
    let services = services(&contracts);
    let mut contents = String::new();
    let mut events = String::new();
    for contract in &contracts {
        let (anchor, channel) = (
            escape(&contract.file_stem),
            escape(contract.subject.as_str()),
        );
        let _ = writeln!(contents, "<li><a href=\"#{anchor}\">{channel}</a></li>");
        events.push_str(&event::section(contract, &topology, documents));
    }
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Events</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>Events</h1>\n<p>{summary}</p>\n</header>\n\
         <nav aria-label=\"Events\">\n<ul>\n{contents}</ul>\n</nav>\n\
         <main>\n{flow}{events}</main>\n\
         <footer><p>Made from the Rust types by <code>cargo run -p schemas -- site</code>.</p></footer>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        summary = summary(&contracts, services.len()),
        flow = flow::section(&contracts, &services),
    );
    let mut files = documents.clone();
    files.insert(PAGE.to_owned(), page);
    files
}

fn summary<S>(contracts: &[Contract<S>], services: usize) -> String {
    let streams: BTreeSet<_> = contracts
        .iter()
        .map(|contract| contract.stream.as_str())
        .collect();
    format!(
        "{} events on {} streams, said by {services} services over NATS JetStream. The whole as \
         <a href=\"asyncapi.json\">AsyncAPI</a>.",
        contracts.len(),
        streams.len(),
    )
}

/// Everybody who publishes or reads, in the order of the list.
fn services<S>(contracts: &[Contract<S>]) -> Vec<QueueGroup> {
    let mut services = Vec::new();
    for contract in contracts {
        for service in [contract.producer].iter().chain(contract.consumers) {
            if !services.contains(service) {
                services.push(*service);
            }
        }
    }
    services
}
