//! What the tests of the database stand on: databases that are thrown away, and events of their own.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::connect::Patience;
use super::{Database, InTransaction, Order, ScratchDatabase, TransactionalListener, Tx};
use crate::failure::Failure;
use crate::headers::Headers;
use crate::listener::{Decision, Delivery, Handled, Listener as _};
use crate::message::{Incoming, Outgoing};
use crate::metadata::Position;
use crate::name::{Key, QueueGroup, StreamName};
use crate::subject_set::Listed;
use crate::version::Version;
use crate::{Event, subjects};

pub(super) const ACCOUNTS: StreamName = StreamName::new("ACCOUNTS");
const REMINDERS: StreamName = StreamName::scheduled("REMINDERS");
pub(super) const BANK: QueueGroup = QueueGroup::new("bank");

subjects! {
    /// Every channel of a bank.
    pub(super) enum Bank {
        /// Money came in.
        Deposited: "account:deposited", stream ACCOUNTS, from BANK, to [BANK];
        /// Somebody looked.
        Viewed: "account:viewed", stream ACCOUNTS, from BANK, to [BANK];
        /// It is time.
        Reminded: "account:reminded", stream REMINDERS, from BANK, to [BANK];
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Deposited {
    pub(super) account: String,
    pub(super) version: Version,
    pub(super) amount: i64,
}

impl Event for Deposited {
    const SUBJECT: Bank = Bank::Deposited;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);

    fn key(&self) -> Key {
        Key::new(self.account.as_str()).unwrap()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Viewed {
    pub(super) account: String,
}

impl Event for Viewed {
    const SUBJECT: Bank = Bank::Viewed;

    fn key(&self) -> Key {
        Key::new(self.account.as_str()).unwrap()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Reminded {
    pub(super) account: String,
}

impl Event for Reminded {
    const SUBJECT: Bank = Bank::Reminded;

    fn key(&self) -> Key {
        Key::new(self.account.as_str()).unwrap()
    }
}

pub(super) fn version(number: u64) -> Version {
    Version::try_from(number).unwrap()
}

/// Each version deposits ten times its number, so that the order shows in what is stored.
pub(super) fn deposit(account: &str, number: u64) -> Deposited {
    Deposited {
        account: account.to_owned(),
        version: version(number),
        amount: number.cast_signed() * 10,
    }
}

pub(super) fn viewed(account: &str) -> Viewed {
    Viewed {
        account: account.to_owned(),
    }
}

/// A database that is gone when its test is over (on PostgreSQL: with the server).
pub(super) struct Scratch(ScratchDatabase);

impl Scratch {
    pub(super) async fn new() -> Self {
        Self(ScratchDatabase::create().await)
    }

    pub(super) fn url(&self) -> &str {
        self.0.url()
    }

    pub(super) async fn open(&self) -> Database {
        let patience = Patience {
            busy: Duration::from_millis(200),
            acquire: Duration::from_secs(10),
        };
        let database = Database::connect_with(self.url(), patience).await.unwrap();
        database
            .migrate(
                "bank",
                &["CREATE TABLE entries (account TEXT NOT NULL, number BIGINT NOT NULL, amount BIGINT NOT NULL)"],
            )
            .await
            .unwrap();
        database
    }
}

/// Writes an entry per deposit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Book;

impl TransactionalListener for Book {
    type Event = Deposited;

    const QUEUE_GROUP: QueueGroup = BANK;

    async fn apply(&self, event: Deposited, tx: &mut Tx<'_>) -> Result<(), Failure> {
        enter(tx, &event.account, event.amount).await
    }
}

/// Remembers the newest deposit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newest;

impl TransactionalListener for Newest {
    type Event = Deposited;

    const QUEUE_GROUP: QueueGroup = BANK;

    const ORDER: Order = Order::NewestOnly;

    async fn apply(&self, event: Deposited, tx: &mut Tx<'_>) -> Result<(), Failure> {
        enter(tx, &event.account, event.amount).await
    }
}

/// Counts views.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountViews;

impl TransactionalListener for CountViews {
    type Event = Viewed;

    const QUEUE_GROUP: QueueGroup = BANK;

    async fn apply(&self, event: Viewed, tx: &mut Tx<'_>) -> Result<(), Failure> {
        enter(tx, &event.account, 1).await
    }
}

/// Fails after it has written.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriteAndFail;

impl TransactionalListener for WriteAndFail {
    type Event = Deposited;

    const QUEUE_GROUP: QueueGroup = BANK;

    async fn apply(&self, event: Deposited, tx: &mut Tx<'_>) -> Result<(), Failure> {
        enter(tx, &event.account, event.amount).await?;
        Err(Failure::reject("no"))
    }
}

pub(super) async fn enter(tx: &mut Tx<'_>, account: &str, amount: i64) -> Result<(), Failure> {
    let sql = "INSERT INTO entries (account, number, amount)
        SELECT $1, (SELECT count(*) FROM entries WHERE account = $1), $2";
    sqlx::query(sql)
        .bind(account)
        .bind(amount)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// The amounts of an account, in the order in which they were entered.
pub(super) async fn entries(database: &Database, account: &str) -> Vec<i64> {
    sqlx::query_scalar("SELECT amount FROM entries WHERE account = $1 ORDER BY number")
        .bind(account)
        .fetch_all(database.reader())
        .await
        .unwrap()
}

/// The event as it would arrive at this place of its stream.
pub(super) fn incoming<E: Event>(event: &E, sequence: u64) -> Incoming {
    let outgoing = Outgoing::encode(event, &Headers::new()).unwrap();
    let position = Position {
        stream: <E as Listed>::STREAM.as_str().to_owned(),
        sequence,
        stored_at: Timestamp::from_second(1_700_000_000).unwrap(),
    };
    Incoming::read(
        <E as Listed>::CHANNEL,
        outgoing.key,
        position,
        1,
        outgoing.headers,
        outgoing.payload,
    )
}

/// Hands the event to the listener, as the runner would.
pub(super) async fn hand<L: TransactionalListener>(
    listener: &InTransaction<L>,
    incoming: &Incoming,
) -> Result<Handled, Failure> {
    let delivery = Delivery::of(incoming);
    let nonce = delivery.nonce();
    let settled = listener
        .on_message(incoming.decode().unwrap(), delivery)
        .await?;
    match settled.decided_for(nonce).unwrap() {
        Decision::Ack(handled) => Ok(handled),
        other => panic!("{other:?}"),
    }
}

/// Waits until the condition holds.
#[track_caller]
pub(super) fn eventually<F>(what: &str, mut holds: impl FnMut() -> F) -> impl Future<Output = ()>
where
    F: Future<Output = bool>,
{
    let caller = std::panic::Location::caller();
    async move {
        let give_up = Instant::now() + Duration::from_secs(20);
        while !holds().await {
            assert!(
                Instant::now() < give_up,
                "{caller}: {what}: never came true"
            );
            // The one place where tests wait.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
