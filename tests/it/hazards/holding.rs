//! Events that came early: what they wait for, and what ends the waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::dead_letters::{DeadLetters, Kind};
use common::{Failure, RetryPolicy};
use integration_tests::notes::{ACCOUNTS, BANK, Bank, Deposited};
use integration_tests::{EveryVersion, Ledger, Replica, Teller, TestNats, attempts, until};
use serde_json::json;

use super::bank::{
    ACCOUNT, deposit, redrive, skip, tellers, tellers_with, until_entered, withdraw,
};
use crate::sdk::dead_letters::until_letters;

// Guard: `Worker::predecessor_can_come` looks behind the floor too.
#[tokio::test]
async fn predecessor_that_stands_behind_its_successor_is_waited_for() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let deposits = Teller::<Deposited, EveryVersion>::with(move |deposit| {
        if deposit.amount == 40 && counted.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(Failure::retry("not yet"));
        }
        Ok(())
    });
    let later = Duration::from_secs(5);
    let policy = RetryPolicy::new(attempts(3).max_attempts(), later, later);
    let set_up = tellers_with(ledger.database(), deposits.clone());
    let first = Replica::start(&nats, |runner| set_up(runner).retry(policy)).await;
    nats.publish(&deposit(1, 70)).await;
    nats.publish(&withdraw(3, 100)).await;
    nats.publish(&deposit(2, 40)).await;
    // Its predecessor failed, stands behind it, and comes again in some seconds.
    nats.until_consumer(ACCOUNTS, BANK, "has settled all but the last", |state| {
        state.floor == 2 && state.unsettled == 1
    })
    .await;
    until("the last has failed", async || {
        match tries.load(Ordering::SeqCst) {
            1 => Ok(()),
            tries => Err(tries),
        }
    })
    .await;
    first.stop().await;
    ledger.let_a_long_time_pass().await;

    let database = ledger.reopen().await;
    let second = Replica::start(&nats, tellers_with(&database, deposits)).await;
    until("somebody has looked", async || {
        match ledger.looked_at().await {
            1 => Ok(()),
            looked_at => Err(looked_at),
        }
    })
    .await;

    until_entered(&ledger, &[70, 40, -100]).await;
    assert!(nats.dead_letters().await.is_empty());
    second.stop().await;
}

// Guard: `Tries::due` in `runner/held.rs`: the sweep comes by every ten seconds only.
#[tokio::test]
async fn held_event_that_fails_is_tried_again_when_its_policy_says() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let fails = AtomicUsize::new(3);
    let deposits = Teller::<Deposited, EveryVersion>::with(move |deposit| {
        let take = |left: usize| left.checked_sub(1);
        let order = Ordering::SeqCst;
        if deposit.amount == 40 && fails.fetch_update(order, order, take).is_ok() {
            return Err(Failure::retry("not yet"));
        }
        Ok(())
    });
    let set_up = tellers_with::<EveryVersion>(ledger.database(), deposits);
    let replica = Replica::start(&nats, |runner| set_up(runner).retry(attempts(10))).await;
    nats.publish(&deposit(2, 40)).await;
    until("it is held", async || match ledger.held().await {
        1 => Ok(()),
        held => Err(held),
    })
    .await;

    let began = Instant::now();
    nats.publish(&deposit(1, 70)).await;
    until_entered(&ledger, &[70, 40]).await;

    // Three sweeps would take twenty seconds at least.
    assert!(began.elapsed() < Duration::from_secs(15));
    replica.stop().await;
}

// Guard: `Worker::decide_orphan`.
#[tokio::test]
async fn change_whose_predecessor_can_never_come_is_dead_lettered() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let first = Replica::start(&nats, tellers::<EveryVersion>(ledger.database())).await;
    nats.publish(&deposit(2, 40)).await;
    nats.publish(&withdraw(3, 10)).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    first.stop().await;
    ledger.let_a_long_time_pass().await;

    let database = ledger.reopen().await;
    let second = Replica::start(&nats, tellers::<EveryVersion>(&database)).await;

    let letter = nats.next_dead_letter().await;
    assert_eq!(letter.kind, "predecessor-missing");
    assert_eq!(letter.origin, ("ACCOUNTS".to_owned(), 1));
    // It leaves the held events after its letter is stored.
    until("one event is held", async || match ledger.held().await {
        1 => Ok(()),
        held => Err(held),
    })
    .await;
    // A dead letter can be redriven: what follows it waits for that.
    assert_eq!(ledger.entries(ACCOUNT).await, [0; 0]);
    second.stop().await;
}

// Guard: `given_up` in `Worker::predecessor_can_come`, once the server's floor has passed it.
#[tokio::test]
async fn change_whose_predecessor_the_server_gave_up_waits_for_its_redrive() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let deposits = Teller::<Deposited, EveryVersion>::with(move |deposit| {
        if deposit.amount == 40 && !is_mended.load(Ordering::SeqCst) {
            return Err(Failure::retry("not yet"));
        }
        Ok(())
    });
    let replica = Replica::start(&nats, tellers_with(ledger.database(), deposits)).await;
    nats.set_consumer(ACCOUNTS, BANK, "max_deliver", json!(1))
        .await;
    nats.publish(&deposit(1, 70)).await;
    nats.publish(&deposit(2, 40)).await;
    nats.publish(&withdraw(3, 100)).await;
    let letter = until_letters(&nats, 1).await.remove(0);
    assert_eq!(letter.kind, Some(Kind::GivenUp));
    nats.until_caught_up(ACCOUNTS, BANK).await;

    ledger.let_a_long_time_pass().await;
    until("the sweep has looked", async || {
        match ledger.looked_at().await {
            1 => Ok(()),
            looked_at => Err(looked_at),
        }
    })
    .await;

    assert_eq!(until_letters(&nats, 1).await[0], letter);
    assert_eq!(ledger.held().await, 1);
    mended.store(true, Ordering::SeqCst);
    let dead_letters = DeadLetters::new(nats.client());
    let redrive = dead_letters.prepare(&letter).await.unwrap();
    dead_letters.redrive(&redrive).await.unwrap();
    until_entered(&ledger, &[70, 40, -100]).await;
    replica.stop().await;
}

/// An account whose second version is among the dead letters, and whose third waits for it.
async fn with_a_dead_second() -> (TestNats, Ledger, Replica) {
    let nats = TestNats::start().await;
    nats.provision::<Bank>().await;
    let ledger = Ledger::new().await;
    let deposits = Teller::<Deposited, EveryVersion>::with(|deposit| match deposit.amount {
        40 => Err(Failure::reject("forty is not allowed")),
        _ => Ok(()),
    });
    let replica = Replica::start(&nats, tellers_with(ledger.database(), deposits)).await;
    nats.publish(&deposit(1, 70)).await;
    nats.publish(&deposit(2, 40)).await;
    nats.publish(&withdraw(3, 10)).await;
    nats.next_dead_letter().await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    (nats, ledger, replica)
}

// Guard: `Database::skip_version` moves the guard and makes the successor due.
#[tokio::test]
async fn skipped_version_lets_its_successor_through() {
    let (_nats, ledger, replica) = with_a_dead_second().await;
    assert_eq!(ledger.entries(ACCOUNT).await, [70]);

    assert!(skip(&ledger, 2).await);

    until_entered(&ledger, &[70, -10]).await;
    assert!(!skip(&ledger, 2).await, "it is over");
    replica.stop().await;
}

// Guard: `Worker::tell_of_held`.
#[tokio::test]
async fn events_that_wait_for_long_behind_a_dead_version_are_told_of_while_the_replica_is_ready() {
    let (_nats, ledger, replica) = with_a_dead_second().await;

    ledger.let_a_long_time_pass().await;

    until("it is told", async || {
        let troubles = replica.troubles();
        if troubles.contains("at least 1 wait for what comes before them") {
            Ok(())
        } else {
            Err(troubles)
        }
    })
    .await;
    assert!(replica.client().health().is_ready());
    let held = ledger.database().held_events(BANK).await.unwrap();
    assert_eq!(held.count, 1);
    assert!(skip(&ledger, 2).await);
    until_entered(&ledger, &[70, -10]).await;
    until("nothing is told", async || {
        let troubles = replica.client().health().troubles();
        if troubles.is_empty() {
            Ok(())
        } else {
            Err(troubles)
        }
    })
    .await;
    replica.stop().await;
}

// Guard: the version guard stays where it is when a version is dead.
#[tokio::test]
async fn dead_lettered_version_holds_its_successors_until_its_redrive() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let deposits = Teller::<Deposited, EveryVersion>::with(move |deposit| {
        if deposit.account == ACCOUNT && deposit.amount == 40 && !is_mended.load(Ordering::SeqCst) {
            return Err(Failure::reject("forty is not allowed"));
        }
        Ok(())
    });
    let replica = Replica::start(&nats, tellers_with(ledger.database(), deposits)).await;

    nats.publish(&deposit(1, 70)).await;
    nats.publish(&deposit(2, 40)).await;
    nats.publish(&withdraw(3, 100)).await;
    nats.publish(&Deposited::of("b", 1, 7)).await;

    let letter = nats.next_dead_letter().await;
    assert_eq!((letter.kind.as_str(), letter.attempts), ("rejected", 1));
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.entries(ACCOUNT).await, [70]);
    assert_eq!(ledger.entries("b").await, [7], "another account waits too");
    assert_eq!(ledger.held().await, 1);
    nats.publish(&deposit(4, 5)).await;
    nats.publish(&Deposited::of("b", 2, 8)).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.entries(ACCOUNT).await, [70]);
    assert_eq!(ledger.entries("b").await, [7, 8]);

    // While its reason stands, a redrive ends where it came from.
    redrive(&nats, "bank", &letter, "1").await;
    let again = nats.next_dead_letter().await;
    assert_eq!(again.payload, letter.payload);
    assert_eq!(ledger.entries(ACCOUNT).await, [70]);
    mended.store(true, Ordering::SeqCst);
    redrive(&nats, "bank", &again, "2").await;

    until_entered(&ledger, &[70, 40, -100, 5]).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.held().await, 0);
    assert_eq!(nats.dead_letters().await.len(), 2);
    replica.stop().await;
}
