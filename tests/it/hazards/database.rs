//! A database that is locked, full or away: no half-done effect, no dead letter, and work goes on when it is back.

use integration_tests::notes::{ACCOUNTS, BANK, Deposited};
use integration_tests::{EveryVersion, Ledger, Replica, TestNats, attempts};

use super::bank::{deposit, tellers, until_entered};

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
