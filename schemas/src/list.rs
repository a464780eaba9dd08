use std::fmt::Write as _;

use common::{Contract, QueueGroup, SubjectSet};

/// A service that no line of the list names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no service is called {name:?}; the list has {known}")]
pub struct UnknownService {
    name: String,
    known: String,
}

/// Every event of the list `S`: its form, its stream, who publishes and who listens.
#[must_use]
pub fn list_all<S: SubjectSet>() -> String {
    let mut rows =
        vec![["EVENT", "FORM", "STREAM", "FROM", "TO", "CARRIES VERSION"].map(str::to_owned)];
    rows.extend(Contract::<S>::all().iter().map(|contract| {
        [
            contract.subject.to_string(),
            form(contract),
            contract.stream.to_string(),
            contract.producer.to_string(),
            joined(contract.consumers),
            if contract.versioned { "yes" } else { "no" }.to_owned(),
        ]
    }));
    table(&rows)
}

/// What one service publishes and what it listens to.
///
/// # Errors
///
/// [`UnknownService`] if no line of the list `S` names it.
pub fn list_service<S: SubjectSet>(name: &str) -> Result<String, UnknownService> {
    let contracts = Contract::<S>::all();
    let published = contracts
        .iter()
        .filter(|contract| contract.producer.as_str() == name);
    let published: Vec<_> = published
        .map(|contract| row(contract, format!("to {}", joined(contract.consumers))))
        .collect();
    let read = contracts.iter().filter(|contract| {
        contract
            .consumers
            .iter()
            .any(|group| group.as_str() == name)
    });
    let read: Vec<_> = read
        .map(|contract| row(contract, format!("from {}", contract.producer)))
        .collect();
    if published.is_empty() && read.is_empty() {
        return Err(UnknownService {
            name: name.to_owned(),
            known: services(&contracts),
        });
    }
    let mut text = String::new();
    for (what, rows) in [("publishes", published), ("listens to", read)] {
        if !rows.is_empty() {
            let table = table(&rows).replace('\n', "\n  ");
            let _ = writeln!(text, "{name} {what}\n  {}", table.trim_end());
        }
    }
    Ok(text)
}

fn row<S: SubjectSet>(contract: &Contract<S>, other_end: String) -> [String; 4] {
    [
        contract.subject.to_string(),
        form(contract),
        contract.stream.to_string(),
        other_end,
    ]
}

/// `v2`, or `v1 to v2` where earlier forms are still read.
fn form<S>(contract: &Contract<S>) -> String {
    match contract.forms.len() {
        1 => "v1".to_owned(),
        newest => format!("v1 to v{newest}"),
    }
}

fn joined(groups: &[QueueGroup]) -> String {
    let names: Vec<_> = groups.iter().map(|group| group.as_str()).collect();
    names.join(", ")
}

fn services<S: SubjectSet>(contracts: &[Contract<S>]) -> String {
    let producers = contracts.iter().map(|contract| contract.producer);
    let consumers = contracts
        .iter()
        .flat_map(|contract| contract.consumers.iter().copied());
    let mut names: Vec<_> = producers.chain(consumers).map(QueueGroup::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// Columns as wide as their widest cell, two spaces apart.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
