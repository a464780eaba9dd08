//! A database that is locked, full or away: no half-done effect, no dead letter, and work goes on when it is back.

use std::time::Duration;

use integration_tests::notes::{ACCOUNTS, BANK, Bank, Deposited};
use integration_tests::{
    BankProcess, Disk, EveryVersion, Ledger, Replica, Role, TestNats, attempts, long_enough_for,
};

use super::bank::{ACCOUNT, BANK_PROCESS, deposit, tellers, until_entered};

// Guard: `is_unavailable` knows a lock for an outage; with one attempt, each event would be dead at once.
#[tokio::test]
async fn locked_database_costs_no_attempt() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let replica = Replica::start(&nats, |runner| {
        tellers::<EveryVersion>(ledger.database())(runner).retry(attempts(1))
    })
    .await;
    let lock = ledger.lock().await;

    nats.publish(&deposit(1, 70)).await;
    nats.publish(&Deposited::of("b", 1, 7)).await;
    replica
        .until_not_ready("handlers of bank on ACCOUNTS: ")
        .await;
    replica.until_not_ready("locked").await;
    lock.release().await;

    until_entered(&ledger, &[70]).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    replica.until_ready().await;
    assert_eq!(ledger.entries("b").await, [7]);
    assert!(nats.dead_letters().await.is_empty());
    replica.stop().await;
}

// Guard: `is_unavailable` knows a full disk for an outage; with one attempt, each event would be dead at once.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn full_disk_costs_no_attempt() {
    let nats = TestNats::start().await;
    nats.provision::<Bank>().await;
    let ledger = Ledger::new().await;
    let replica = BankProcess::start(BANK_PROCESS, &nats, &ledger, Role::Replica).await;
    nats.publish(&deposit(1, 70)).await;
    until_entered(&ledger, &[70]).await;

    replica.let_it_write(Disk::Full);
    nats.publish(&deposit(2, 40)).await;
    nats.publish(&Deposited::of("b", 1, 7)).await;
    nats.until_consumer(ACCOUNTS, BANK, "keeps both", |state| state.unsettled == 2)
        .await;
    long_enough_for("a try to fail for good", Duration::from_secs(2)).await;
    assert_eq!(ledger.entries(ACCOUNT).await, [70]);
    assert!(nats.dead_letters().await.is_empty());
    replica.let_it_write(Disk::HasRoom);

    until_entered(&ledger, &[70, 40]).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.entries("b").await, [7]);
    assert!(nats.dead_letters().await.is_empty());
}

// No power is cut here: this is what SQLite is asked for, so that a commit outlives it.
#[tokio::test]
async fn sqlite_file_is_written_through_before_a_commit_returns() {
    const FULL: i64 = 2;
    let ledger = Ledger::new().await;

    let mut tx = ledger.database().begin().await.unwrap();
    let asked = sqlx::query_scalar("PRAGMA synchronous").fetch_one(tx.connection());
    let synchronous: i64 = asked.await.unwrap();

    assert_eq!(synchronous, FULL);
}
