use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use common::BoxError;
use common::events::{Cents, ChargeId, OrderId, RefundId};
use jiff::Timestamp;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Row as _, Sqlite, Transaction};
use uuid::Uuid;

use super::{ChargeAnswer, ChargeRequest, IdempotencyKey, RefundRequest};

/// Reserves the one place in which a writer may be, before anything is read.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// What a bank would have written down: every charge, decline and refund of the sandbox, in a
/// `SQLite` file that all replicas share.
///
/// Each key stands in it once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SandboxLedger {
    pool: SqlitePool,
}

/// Money that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerCharge {
    /// The idempotency key: `<order>:<attempt>`.
    pub key: String,
    /// The order that was paid.
    pub order: OrderId,
    /// How much, in minor currency units.
    pub amount: Cents,
    /// The charge.
    pub charge: ChargeId,
    /// What the buyer reads on the statement.
    pub description: String,
}

/// A card that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerDecline {
    /// The idempotency key: `<order>:<attempt>`.
    pub key: String,
    /// The order that was not paid.
    pub order: OrderId,
}

/// Money that was given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRefund {
    /// The idempotency key: `refund:<order>`.
    pub key: String,
    /// The order that had been paid.
    pub order: OrderId,
    /// How much, in minor currency units.
    pub amount: Cents,
    /// The charge that was given back.
    pub charge: ChargeId,
    /// The refund.
    pub refund: RefundId,
}

/// What the ledger is to write for a key that it does not know yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Charge,
    Decline,
}

impl SandboxLedger {
    /// Opens the ledger, and creates file and folder if they are missing.
    ///
    /// `url` is `sqlite://path/to/file.db` or `sqlite:path/to/file.db`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] if the file cannot be opened or is no ledger.
    pub async fn open(url: &str) -> Result<Self, LedgerError> {
        // The driver would take any text for the name of a file, and memory for a place to write.
        let options: Option<SqliteConnectOptions> = file_named(url).and_then(|_| url.parse().ok());
        let options = options
            .ok_or_else(|| LedgerError::Url {
                url: url.to_owned(),
            })?
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(30))
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let path = options.get_filename().to_owned();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| LedgerError::Folder {
                path: folder.to_owned(),
                source,
            })?;
        }

        let open = async || {
            // One connection, so that the writers of this process queue in order.
            let pool = SqlitePoolOptions::new()
                .max_connections(1)
                .connect_with(options.clone())
                .await?;
            let ledger = Self { pool };
            ledger.create_tables().await?;
            Ok(ledger)
        };
        let mut opened = open().await;
        for _ in 0..20 {
            if !matches!(&opened, Err(err) if is_locked(err)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await; // Another process creates the file.
            opened = open().await;
        }
        opened.map_err(|source| LedgerError::Open { path, source })
    }

    /// Every charge, in the order in which they were made.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if the file cannot be read.
    pub async fn charges(&self) -> Result<Vec<LedgerCharge>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT key, order_id, amount, charge_id, description FROM requests
             WHERE charge_id IS NOT NULL ORDER BY rowid",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(LedgerCharge {
                    key: row.try_get("key")?,
                    order: parsed(row, "order_id")?,
                    amount: amount(row)?,
                    charge: parsed(row, "charge_id")?,
                    description: row.try_get("description")?,
                })
            })
            .collect()
    }

    /// Every decline, in the order in which they were made.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if the file cannot be read.
    pub async fn declines(&self) -> Result<Vec<LedgerDecline>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT key, order_id FROM requests WHERE charge_id IS NULL ORDER BY rowid",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(LedgerDecline {
                    key: row.try_get("key")?,
                    order: parsed(row, "order_id")?,
                })
            })
            .collect()
    }

    /// Every refund, in the order in which they were made.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error`] if the file cannot be read.
    pub async fn refunds(&self) -> Result<Vec<LedgerRefund>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT key, order_id, amount, charge_id, refund_id FROM refunds ORDER BY rowid",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(LedgerRefund {
                    key: row.try_get("key")?,
                    order: parsed(row, "order_id")?,
                    amount: amount(row)?,
                    charge: parsed(row, "charge_id")?,
                    refund: parsed(row, "refund_id")?,
                })
            })
            .collect()
    }

    /// Answers a key as it was answered before, else as `verdict` says.
    ///
    /// The time is read under the lock: whoever looks for the key later than its deadline, under the
    /// same lock, and finds nothing, can be sure that nothing comes.
    pub(super) async fn charge(
        &self,
        request: &ChargeRequest,
        verdict: Verdict,
        now: impl Fn() -> Timestamp + Send,
    ) -> Result<ChargeAnswer, ChargeError> {
        let mut tx = self.pool.begin_with(BEGIN).await?;
        if let Some(answer) = answer(&mut tx, &request.key).await? {
            return Ok(answer);
        }
        if now() >= request.deadline {
            return Err(ChargeError::TooLate);
        }
        let answer = match verdict {
            Verdict::Charge => ChargeAnswer::Charged(fresh("ch")?),
            Verdict::Decline => ChargeAnswer::Declined,
        };
        let charge = match &answer {
            ChargeAnswer::Charged(charge) => Some(charge.as_str()),
            ChargeAnswer::Declined => None,
        };
        sqlx::query(
            "INSERT INTO requests (key, order_id, amount, description, charge_id) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(request.key.as_str())
        .bind(request.order.to_string())
        .bind(request.amount.to_sql())
        .bind(&request.description)
        .bind(charge)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// What the key was answered. It waits for a charge that is being written.
    pub(super) async fn find_charge(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<ChargeAnswer>, sqlx::Error> {
        let mut tx = self.pool.begin_with(BEGIN).await?;
        answer(&mut tx, key).await
    }

    /// Gives the charge back, once for each key.
    pub(super) async fn refund(&self, request: &RefundRequest) -> Result<RefundId, sqlx::Error> {
        let mut tx = self.pool.begin_with(BEGIN).await?;
        let known = sqlx::query("SELECT refund_id FROM refunds WHERE key = $1")
            .bind(request.key.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(row) = known {
            return parsed(&row, "refund_id");
        }
        let refund: RefundId = fresh("re")?;
        sqlx::query(
            "INSERT INTO refunds (key, order_id, amount, charge_id, refund_id) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(request.key.as_str())
        .bind(request.order.to_string())
        .bind(request.amount.to_sql())
        .bind(request.charge.as_str())
        .bind(refund.as_str())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(refund)
    }

    async fn create_tables(&self) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin_with(BEGIN).await?;
        for table in [REQUESTS, REFUNDS] {
            sqlx::query(table).execute(&mut *tx).await?;
        }
        tx.commit().await
    }
}

/// A row without a charge is a decline.
const REQUESTS: &str = "CREATE TABLE IF NOT EXISTS requests (
    key TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    description TEXT NOT NULL,
    charge_id TEXT UNIQUE
)";

/// Nothing here keeps a charge from being given back twice under two keys: the ledger is there to show that.
const REFUNDS: &str = "CREATE TABLE IF NOT EXISTS refunds (
    key TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    charge_id TEXT NOT NULL REFERENCES requests (charge_id),
    refund_id TEXT NOT NULL UNIQUE
)";

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The address is none of a `SQLite` file.
    #[error("`{url}` is no address of a ledger: it must be `sqlite://path/to/file.db`")]
    Url {
        /// What was given.
        url: String,
    },
    /// The folder of the file is missing and could not be created.
    #[error("folder `{}` of the ledger could not be created", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file could not be opened, or is no ledger.
    #[error("ledger `{}` could not be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}

/// The path in the URL of an `SQLite` file, as it stands there. `None`: it is no such URL, or names memory.
pub(crate) fn file_named(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_file = !matches!(path, "" | ":memory:") && !query.contains("mode=memory");
    is_file.then_some(path)
}

/// Why the ledger does not charge.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChargeError {
    /// Nothing is charged.
    #[error("request came after its deadline")]
    TooLate,
    /// It may be charged: the commit may have arrived.
    #[error("ledger could not be written")]
    Ledger(#[from] sqlx::Error),
}

async fn answer(
    tx: &mut Transaction<'_, Sqlite>,
    key: &IdempotencyKey,
) -> Result<Option<ChargeAnswer>, sqlx::Error> {
    let row = sqlx::query("SELECT charge_id FROM requests WHERE key = $1")
        .bind(key.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    match row.try_get::<Option<String>, _>("charge_id")? {
        Some(_) => parsed(&row, "charge_id")
            .map(ChargeAnswer::Charged)
            .map(Some),
        None => Ok(Some(ChargeAnswer::Declined)),
    }
}

/// A new id, as a bank makes them: `ch_0198…`.
fn fresh<T>(prefix: &str) -> Result<T, sqlx::Error>
where
    T: FromStr<Err: Into<BoxError>>,
{
    format!("{prefix}_{}", Uuid::now_v7().simple())
        .parse()
        .map_err(decode)
}

fn parsed<T>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error>
where
    T: FromStr<Err: Into<BoxError>>,
{
    row.try_get::<&str, _>(column)?.parse().map_err(decode)
}

fn amount(row: &SqliteRow) -> Result<Cents, sqlx::Error> {
    Cents::try_from(row.try_get::<i64, _>("amount")?).map_err(decode)
}

fn decode(err: impl Into<BoxError>) -> sqlx::Error {
    sqlx::Error::Decode(err.into())
}

fn is_locked(err: &sqlx::Error) -> bool {
    // SQLITE_BUSY and SQLITE_LOCKED, with their extensions in the upper bits.
    err.as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .and_then(|code| code.parse::<i32>().ok())
        .is_some_and(|code| matches!(code & 0xff, 5 | 6))
}
