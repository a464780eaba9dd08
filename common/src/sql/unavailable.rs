#[cfg(feature = "postgres")]
use std::error::Error;
#[cfg(feature = "postgres")]
use std::iter;

use sqlx::error::DatabaseError;

/// Whether the error says that the database is out of reach, locked, full or broken: nothing that one event is to blame for.
///
/// A deadlock, a serialization failure and a stale statement count as well: the same event succeeds
/// when it is run again, so they must not use up its attempts.
pub(crate) fn is_unavailable(err: &sqlx::Error) -> bool {
    match err {
        sqlx::Error::Database(err) => says_unavailable(&**err),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        // A connection whose last transaction never ended.
        | sqlx::Error::InvalidSavePointStatement => true,
        // `sqlx::Error` is non-exhaustive: what is not known to be the database's fault counts as an attempt.
        _ => false,
    }
}

/// Whether the cause of the failure is a statement that its connection has prepared before a
/// migration, and goes on to refuse.
#[cfg(feature = "postgres")]
pub(super) fn has_stale_statement(failure: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(failure), |err| (*err).source())
        .filter_map(|err| err.downcast_ref::<sqlx::Error>())
        .filter_map(sqlx::Error::as_database_error)
        .any(is_stale)
}

#[cfg(feature = "postgres")]
fn is_stale(err: &(dyn DatabaseError + 'static)) -> bool {
    let postgres = err.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
    postgres.is_some_and(|err| is_stale_plan(err.code(), err.routine()))
}

fn says_unavailable(err: &(dyn DatabaseError + 'static)) -> bool {
    let Some(code) = err.code() else {
        return false;
    };
    #[cfg(feature = "sqlite")]
    if err
        .try_downcast_ref::<sqlx::sqlite::SqliteError>()
        .is_some()
    {
        return code.parse().is_ok_and(sqlite_unavailable);
    }
    #[cfg(feature = "postgres")]
    if is_stale(err) {
        return true;
    }
    postgres_unavailable(&code)
}

/// Whether a statement that was prepared before a migration of a newer replica yields other columns
/// since. The state means any feature that is missing, and the message is in the server's language;
/// the routine is neither.
#[cfg(any(feature = "postgres", test))]
fn is_stale_plan(state: &str, routine: Option<&str>) -> bool {
    state == "0A000" && routine == Some("RevalidateCachedQuery")
}

/// By the primary result code, the low byte of the extended one (<https://www.sqlite.org/rescode.html>).
#[cfg(any(feature = "sqlite", test))]
fn sqlite_unavailable(extended: u32) -> bool {
    matches!(
        extended & 0xff,
        5 // BUSY
        | 6 // LOCKED
        | 7 // NOMEM
        | 8 // READONLY
        | 10 // IOERR
        | 11 // CORRUPT
        | 13 // FULL
        | 14 // CANTOPEN
        | 15 // PROTOCOL: the locks of the write-ahead log
        | 26 // NOTADB
    )
}

/// By the SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn postgres_unavailable(state: &str) -> bool {
    let class = state.get(..2).unwrap_or_default();
    matches!(
        class,
        "08" // connection
        | "28" // authorization: a password that was changed
        | "3D" // no such database
        | "53" // disk, memory or connections used up
        | "58" // system error outside PostgreSQL
    ) || state.starts_with("57P0") // shutdown, crash, cannot connect now
        || matches!(
            state,
            "25006" // read-only: a standby, after a fail-over
            | "40001" // serialization failure
            | "40P01" // deadlock
            | "55P03" // lock not available
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_code_tells_trouble_of_the_database_from_trouble_of_a_statement() {
        // BUSY, BUSY_SNAPSHOT, LOCKED, IOERR_WRITE, FULL, CANTOPEN, READONLY_DBMOVED
        for code in [5, 517, 6, 778, 13, 14, 1032] {
            assert!(sqlite_unavailable(code), "{code}");
        }
        // ERROR, CONSTRAINT_UNIQUE, MISMATCH, TOOBIG
        for code in [1, 2067, 20, 18] {
            assert!(!sqlite_unavailable(code), "{code}");
        }
    }

    #[test]
    fn sqlstate_tells_trouble_of_the_database_from_trouble_of_a_statement() {
        for state in [
            "08006", "53100", "53300", "57P01", "57P03", "40001", "40P01", "55P03", "25006",
            "28P01", "58030",
        ] {
            assert!(postgres_unavailable(state), "{state}");
        }
        for state in ["23505", "42P01", "22P02", "57014", "25P02", ""] {
            assert!(!postgres_unavailable(state), "{state}");
        }
    }

    #[test]
    fn stale_plan_is_told_apart_from_a_feature_that_is_missing() {
        assert!(is_stale_plan("0A000", Some("RevalidateCachedQuery")));
        assert!(!is_stale_plan("0A000", Some("transformSelectStmt")));
        assert!(!is_stale_plan("0A000", None));
        assert!(!is_stale_plan("42P01", Some("RevalidateCachedQuery")));
    }

    #[test]
    fn connection_trouble_is_unavailable_and_a_missing_row_is_not() {
        assert!(is_unavailable(&sqlx::Error::PoolTimedOut));
        assert!(is_unavailable(&sqlx::Error::PoolClosed));
        assert!(is_unavailable(&sqlx::Error::Io(std::io::Error::other(
            "gone"
        ))));
        assert!(!is_unavailable(&sqlx::Error::RowNotFound));
        assert!(!is_unavailable(&sqlx::Error::Protocol("odd".to_owned())));
    }
}
