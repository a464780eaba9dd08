use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use common::{Database, Failure, Order, QueueGroup, TransactionalListener, Tx};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tempfile::TempDir;

use crate::notes::{BANK, Deposited, READERS, Withdrawn, Written};
use crate::parcels::{SecondWeighed, Weighed};
use crate::scripted::Gate;
use crate::until;

/// The database of a bank, which is gone with its value: what was applied to which account, in order.
#[derive(Debug)]
pub struct Ledger {
    database: Database,
    url: String,
    _folder: TempDir,
}

/// Somebody else's transaction: nobody can write until it is over.
#[derive(Debug)]
pub struct Lock(SqliteConnection);

impl Ledger {
    /// An empty one.
    ///
    /// # Panics
    ///
    /// If the file cannot be created.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("bank.db").display());
        let database = Self::open(&url).await;
        Self {
            database,
            url,
            _folder: folder,
        }
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Where the database is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The database at this address, with its tables.
    ///
    /// # Panics
    ///
    /// If it cannot be had.
    pub async fn open(url: &str) -> Database {
        let database = Database::connect(url).await.unwrap();
        database.migrate("bank", &[ENTRIES]).await.unwrap();
        database
    }

    /// The database, as another process opens it.
    pub async fn reopen(&self) -> Database {
        Self::open(&self.url).await
    }

    /// Keeps everybody from writing until the lock is [released](Lock::release).
    ///
    /// # Panics
    ///
    /// If somebody else does.
    pub async fn lock(&self) -> Lock {
        let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
        connection.execute("BEGIN IMMEDIATE").await.unwrap();
        Lock(connection)
    }

    /// What was entered for an account, in the order in which it was.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    pub async fn entries(&self, account: &str) -> Vec<i64> {
        sqlx::query_scalar("SELECT amount FROM entries WHERE account = $1 ORDER BY number")
            .bind(account)
            .fetch_all(self.database.reader())
            .await
            .unwrap()
    }

    /// How many events wait for a predecessor.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    pub async fn held(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM event_held")
            .fetch_one(self.database.reader())
            .await
            .unwrap()
    }

    /// Lets a long time pass for every event that waits for a predecessor, or for its next try.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub async fn let_a_long_time_pass(&self) {
        let mut tx = self.database.begin().await.unwrap();
        sqlx::query("UPDATE event_held SET held_at = 0, next_try = 0")
            .execute(tx.connection())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// How many of the events that wait somebody has looked at since
    /// [a long time has passed](Self::let_a_long_time_pass), and left.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    pub async fn looked_at(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM event_held WHERE next_try > 0")
            .fetch_one(self.database.reader())
            .await
            .unwrap()
    }

    /// Waits until the outbox is empty.
    ///
    /// # Panics
    ///
    /// If it never is.
    pub async fn until_sent(&self) {
        let database = self.database.clone();
        until("the outbox is empty", async move || {
            match database.pending_events().await.unwrap() {
                0 => Ok(()),
                pending => Err(pending),
            }
        })
        .await;
    }

    /// Who publishes what is in the outbox, and the how manieth that does. `None`: nobody yet.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    pub async fn relay(&self) -> Option<(String, i64)> {
        sqlx::query_as("SELECT holder, epoch FROM event_lease WHERE name = 'outbox'")
            .fetch_optional(self.database.reader())
            .await
            .unwrap()
    }
}

impl Lock {
    /// Lets others write again.
    ///
    /// # Panics
    ///
    /// If the database refuses.
    pub async fn release(mut self) {
        self.0.execute("ROLLBACK").await.unwrap();
        self.0.close().await.unwrap();
    }
}

const ENTRIES: &str = "CREATE TABLE entries (number INTEGER PRIMARY KEY, account TEXT NOT NULL, amount BIGINT NOT NULL)";

/// An event as an entry.
pub trait Entry: common::Event {
    /// Who enters it.
    const GROUP: QueueGroup;

    /// Of which account, and how much.
    fn entry(&self) -> (&str, i64);
}

impl Entry for Deposited {
    const GROUP: QueueGroup = BANK;

    fn entry(&self) -> (&str, i64) {
        (&self.account, self.amount)
    }
}

impl Entry for Withdrawn {
    const GROUP: QueueGroup = BANK;

    fn entry(&self) -> (&str, i64) {
        (&self.account, -self.amount)
    }
}

impl Entry for Written {
    const GROUP: QueueGroup = READERS;

    fn entry(&self) -> (&str, i64) {
        (&self.page, self.line.into())
    }
}

impl Entry for SecondWeighed {
    const GROUP: QueueGroup = READERS;

    fn entry(&self) -> (&str, i64) {
        (self.parcel.as_str(), self.grams.into())
    }
}

impl Entry for Weighed {
    const GROUP: QueueGroup = READERS;

    fn entry(&self) -> (&str, i64) {
        (self.parcel.as_str(), self.grams.into())
    }
}

/// An order as a type, for a listener's order is in its type.
pub trait Reads: Send + Sync + 'static {
    /// The order.
    const ORDER: Order;
}

/// One version after the other.
#[derive(Debug, Clone, Copy)]
pub struct EveryVersion;

impl Reads for EveryVersion {
    const ORDER: Order = Order::EveryVersion;
}

/// What is newer than the last.
#[derive(Debug, Clone, Copy)]
pub struct NewestOnly;

impl Reads for NewestOnly {
    const ORDER: Order = Order::NewestOnly;
}

/// What a teller says to an event before entering it.
type Opinion<E> = dyn Fn(&E) -> Result<(), Failure> + Send + Sync;

/// Enters events, refuses what would overdraw an account, and writes down how often it was asked. Clones share what is written.
pub struct Teller<E, O> {
    opinion: Arc<Opinion<E>>,
    gate: Option<Gate>,
    asked: Arc<Mutex<Vec<E>>>,
    order: PhantomData<fn() -> O>,
}

impl<E, O> Clone for Teller<E, O> {
    fn clone(&self) -> Self {
        Self {
            opinion: Arc::clone(&self.opinion),
            gate: self.gate.clone(),
            asked: Arc::clone(&self.asked),
            order: PhantomData,
        }
    }
}

impl<E, O> Debug for Teller<E, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}

impl<E: Entry + Clone, O: Reads> Teller<E, O> {
    /// Enters everything.
    #[must_use]
    pub fn content() -> Self {
        Self::with(|_| Ok(()))
    }

    /// Enters what it has no objection to, and says so after it has written.
    #[must_use]
    pub fn with(opinion: impl Fn(&E) -> Result<(), Failure> + Send + Sync + 'static) -> Self {
        Self {
            opinion: Arc::new(opinion),
            gate: None,
            asked: Arc::default(),
            order: PhantomData,
        }
    }

    /// Enters everything once the gate is open.
    #[must_use]
    pub fn behind(gate: &Gate) -> Self {
        Self {
            gate: Some(gate.clone()),
            ..Self::content()
        }
    }

    /// Every event it was asked to enter, once for each time.
    #[must_use]
    pub fn asked(&self) -> Vec<E> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl<E: Entry + Clone + Debug, O: Reads> Teller<E, O> {
    /// Waits until it was asked so often, and no more often.
    ///
    /// # Panics
    ///
    /// If it never is.
    pub async fn until_asked(&self, times: usize) {
        until(&format!("it is tried {times} times"), async || {
            let asked = self.asked();
            if asked.len() == times {
                Ok(())
            } else {
                Err(asked)
            }
        })
        .await;
    }
}

impl<E: Entry + Clone, O: Reads> TransactionalListener for Teller<E, O> {
    type Event = E;

    const QUEUE_GROUP: QueueGroup = E::GROUP;
    const ORDER: Order = O::ORDER;

    async fn apply(&self, event: E, tx: &mut Tx<'_>) -> Result<(), Failure> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event.clone());
        if let Some(gate) = &self.gate {
            gate.pass().await;
        }
        let (account, amount) = event.entry();
        let entered = sqlx::query(
            "INSERT INTO entries (account, amount) SELECT $1, $2
             WHERE (SELECT COALESCE(SUM(amount), 0) FROM entries WHERE account = $1) + $2 >= 0",
        )
        .bind(account)
        .bind(amount)
        .execute(tx.connection())
        .await?;
        if entered.rows_affected() == 0 {
            return Err(Failure::reject(format!("`{account}` would be overdrawn")));
        }
        (self.opinion)(&event)
    }
}
