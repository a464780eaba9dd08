//! Events out of order: early ones wait, late ones are recognised.

use std::time::{Duration, Instant};

use integration_tests::notes::{ACCOUNTS, BANK, Deposited};
use integration_tests::{EveryVersion, Ledger, NewestOnly, Replica, TestNats, until};

use super::bank::{ACCOUNT, deposit, tellers, until_entered, withdraw};

// Guard: the version guard holds what is early.
#[tokio::test]
async fn events_of_an_account_are_applied_in_the_order_of_their_versions() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let began = Instant::now();
    let replica = Replica::start(&nats, tellers::<EveryVersion>(ledger.database())).await;

    nats.publish(&withdraw(3, 100)).await;
    nats.publish(&deposit(2, 40)).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(
        ledger.entries(ACCOUNT).await,
        [0; 0],
        "applied before the first"
    );
    assert_eq!(ledger.held().await, 2);
    nats.publish(&Deposited::of("b", 1, 7)).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.entries("b").await, [7], "another account waits too");
    nats.publish(&deposit(1, 70)).await;

    until_entered(&ledger, &[70, 40, -100]).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(9), "left to the sweep: {took:?}");
    assert_eq!(ledger.held().await, 0);
    assert!(nats.dead_letters().await.is_empty());
    replica.stop().await;
}

// Guard: the version guard is locked, checked and moved in the transaction of the effect.
#[tokio::test]
async fn two_replicas_apply_every_version_once_and_in_order() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let sibling = ledger.reopen().await;
    let one = Replica::start(&nats, tellers::<EveryVersion>(ledger.database())).await;
    let other = Replica::start(&nats, tellers::<EveryVersion>(&sibling)).await;
    // Backwards within each account, and each of them twice.
    let accounts = ["a", "b", "c", "d"];
    let mut events = Vec::new();
    for number in (1..=10).rev() {
        for account in accounts {
            let event = Deposited::of(account, number, number.cast_signed());
            events.extend([event.clone(), event]);
        }
    }

    for event in &events {
        nats.publish(event).await;
    }

    nats.until_caught_up(ACCOUNTS, BANK).await;
    for account in accounts {
        until("all are entered", async || {
            let entered = ledger.entries(account).await;
            if entered.len() >= 10 {
                Ok(())
            } else {
                Err(entered)
            }
        })
        .await;
        let in_order: Vec<_> = (1..=10).collect();
        assert_eq!(ledger.entries(account).await, in_order, "{account}");
    }
    one.stop().await;
    other.stop().await;
}

// Guard: the version guard moves forward only.
#[tokio::test]
async fn newest_only_passes_over_what_is_older_and_waits_for_nothing() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let replica = Replica::start(&nats, tellers::<NewestOnly>(ledger.database())).await;

    for number in [3, 1, 2, 3, 7, 5, 8] {
        nats.publish(&deposit(number, number.cast_signed())).await;
    }

    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.entries(ACCOUNT).await, [3, 7, 8]);
    assert_eq!(ledger.held().await, 0);
    replica.stop().await;
}

// Guard: the version guard. The old version comes under an id of its own, which the inbox does not know.
#[tokio::test]
async fn old_version_after_a_newer_one_changes_nothing() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let replica = Replica::start(&nats, tellers::<EveryVersion>(ledger.database())).await;
    nats.publish(&deposit(1, 70)).await;
    nats.publish(&deposit(2, 40)).await;

    nats.publish(&deposit(1, 7)).await;
    nats.publish(&withdraw(2, 4)).await;
    nats.publish(&withdraw(3, 100)).await;

    until_entered(&ledger, &[70, 40, -100]).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.entries(ACCOUNT).await, [70, 40, -100]);
    assert!(nats.dead_letters().await.is_empty());
    replica.stop().await;
}
