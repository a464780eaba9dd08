//! What the tests of this tree share: an account, its events, and a redrive by hand.

use std::collections::BTreeMap;

use common::{Database, Key, Runner, Version};
use integration_tests::notes::{ACCOUNTS, BANK, Deposited, Withdrawn};
use integration_tests::{Ledger, Letter, Reads, Teller, TestNats, until};

type Headers = BTreeMap<String, Vec<String>>;

pub(crate) const ACCOUNT: &str = "a";
/// The program of a bank, as cargo has built it for this test.
pub(crate) const BANK_PROCESS: &str = env!("CARGO_BIN_EXE_bank-process");

pub(crate) fn deposit(number: u64, amount: i64) -> Deposited {
    Deposited::of(ACCOUNT, number, amount)
}

pub(crate) fn withdraw(number: u64, amount: i64) -> Withdrawn {
    Withdrawn::of(ACCOUNT, number, amount)
}

/// The listeners of a bank that enters everything.
pub(crate) fn tellers<O: Reads>(database: &Database) -> impl FnOnce(Runner) -> Runner {
    tellers_with::<O>(database, Teller::content())
}

pub(crate) fn tellers_with<O: Reads>(
    database: &Database,
    deposits: Teller<Deposited, O>,
) -> impl FnOnce(Runner) -> Runner {
    move |runner| {
        runner
            .listen_in(database, deposits)
            .listen_in(database, Teller::<Withdrawn, O>::content())
    }
}

pub(crate) async fn until_entered(ledger: &Ledger, entries: &[i64]) {
    until(&format!("{entries:?} are entered"), async || {
        let entered = ledger.entries(ACCOUNT).await;
        if entered == entries {
            Ok(())
        } else {
            Err(entered)
        }
    })
    .await;
}

/// Sends a letter's message to its group again, as an operator's tool does.
pub(crate) async fn redrive(nats: &TestNats, group: &str, letter: &Letter, id: &str) {
    let prefix = format!("dead-letter.{group}.");
    let rest = letter.subject.strip_prefix(&prefix).unwrap();
    let headers = headers_of(&letter.headers, id);
    let subject = format!("redrive.{group}.{rest}");
    nats.put_with(&subject, &pairs(&headers), letter.payload.clone())
        .await;
}

/// The event's own, and another id for the server.
pub(crate) fn headers_of(headers: &Headers, id: &str) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| !name.starts_with("Nats-"))
        .map(|(name, values)| (name.clone(), values[0].clone()))
        .chain([("Nats-Msg-Id".to_owned(), id.to_owned())])
        .collect()
}

pub(crate) fn pairs(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    let pairs = headers.iter();
    pairs
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// Passes over a version of the account.
pub(crate) async fn skip(ledger: &Ledger, version: u64) -> bool {
    let (key, version) = (
        Key::new(ACCOUNT).unwrap(),
        Version::try_from(version).unwrap(),
    );
    let skipped = ledger
        .database()
        .skip_version(BANK, ACCOUNTS, &key, version);
    skipped.await.unwrap()
}
