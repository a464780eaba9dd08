//! What is said of accounts, and the book that a bank keeps of them.

use std::time::Duration;

use common::{
    Carries, Database, Event, Failure, InvalidVersion, Key, QueueGroup, StreamName, Tx, Version,
};
use common::{schemars, subjects};
use serde::{Deserialize, Serialize};

pub(crate) const ACCOUNTS: StreamName = StreamName::new("ACCOUNTS");
pub(crate) const BANK: QueueGroup = QueueGroup::new("bank");

subjects! {
    /// Every channel of the bank.
    pub(crate) enum Bank {
        /// Money came in.
        Deposited: "account:deposited", stream ACCOUNTS, from BANK, to [BANK];
        /// Money went out.
        Withdrawn: "account:withdrawn", stream ACCOUNTS, from BANK, to [BANK];
    }
}

/// Money came in.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct Deposited {
    /// Whose.
    pub(crate) account: Key,
    /// Which change of the account this is, the first being 1.
    pub(crate) version: Version,
    /// How much.
    pub(crate) amount: u32,
}

/// Money went out.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct Withdrawn {
    /// Whose.
    pub(crate) account: Key,
    /// Which change of the account this is, the first being 1.
    pub(crate) version: Version,
    /// How much.
    pub(crate) amount: u32,
}

impl Deposited {
    pub(crate) fn new(account: &Key, version: u64, amount: u32) -> Result<Self, InvalidVersion> {
        Ok(Self {
            account: account.clone(),
            version: version.try_into()?,
            amount,
        })
    }
}

impl Event for Deposited {
    const SUBJECT: Bank = Bank::Deposited;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);
    const CARRIES: Carries = Carries::Change;

    fn key(&self) -> Key {
        self.account.clone()
    }
}

impl Withdrawn {
    pub(crate) fn new(account: &Key, version: u64, amount: u32) -> Result<Self, InvalidVersion> {
        Ok(Self {
            account: account.clone(),
            version: version.try_into()?,
            amount,
        })
    }
}

impl Event for Withdrawn {
    const SUBJECT: Bank = Bank::Withdrawn;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);
    const CARRIES: Carries = Carries::Change;

    fn key(&self) -> Key {
        self.account.clone()
    }
}

pub(crate) const TABLE: &str =
    "CREATE TABLE entries (account TEXT NOT NULL, amount BIGINT NOT NULL)";

/// Enters a change, and refuses what would leave less than nothing.
pub(crate) async fn enter(tx: &mut Tx<'_>, account: &Key, amount: i64) -> Result<(), Failure> {
    let entered = sqlx::query(
        "INSERT INTO entries (account, amount) SELECT $1, $2
         WHERE (SELECT COALESCE(SUM(amount), 0) FROM entries WHERE account = $1) + $2 >= 0",
    )
    .bind(account.as_str())
    .bind(amount)
    .execute(tx.connection())
    .await?;
    match entered.rows_affected() {
        0 => Err(Failure::reject("there is not enough money")),
        _ => Ok(()),
    }
}

/// The account's changes so far.
pub(crate) async fn entries(database: &Database, account: &Key) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT amount FROM entries WHERE account = $1 ORDER BY rowid")
        .bind(account.as_str())
        .fetch_all(database.reader())
        .await
}

/// Waits until the account has had so many changes.
pub(crate) async fn until_entered(database: &Database, account: &Key, changes: usize) {
    let enough = |entries: Result<Vec<i64>, _>| entries.is_ok_and(|all| all.len() >= changes);
    while !enough(entries(database, account).await) {
        tokio::time::sleep(Duration::from_millis(50)).await; // until the next look
    }
}
