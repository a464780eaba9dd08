//! Processes that are killed or frozen in the middle of what they do.

use std::num::NonZeroUsize;
use std::time::Duration;

use integration_tests::notes::{ACCOUNTS, BANK, Bank, Deposited};
use integration_tests::{
    BankProcess, EveryVersion, Gate, Halt, Ledger, Replica, Teller, TestNats, attempts,
    long_enough_for, until,
};

use super::bank::{ACCOUNT, BANK_PROCESS, deposit, skip, tellers, tellers_with, until_entered};

const LEASE: Duration = Duration::from_secs(1);

// Guard: `Attempts::begin` counts a redelivered event before its handler starts.
#[tokio::test]
async fn event_that_ends_every_process_is_dead_lettered_at_last() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    nats.provision::<Bank>().await;
    nats.set_lease(ACCOUNTS, BANK, Duration::from_millis(500))
        .await;
    nats.publish(&deposit(1, 70)).await;
    let deposits = Teller::<Deposited, EveryVersion>::behind(&Gate::shut());

    // The first delivery costs no write, and so is not counted.
    for process in 1..=3 {
        let database = ledger.reopen().await;
        let set_up = tellers_with(&database, deposits.clone());
        let replica = Replica::start(&nats, |runner| set_up(runner).retry(attempts(2))).await;
        deposits.until_asked(process).await;
        replica.vanish();
    }
    let set_up = tellers_with(ledger.database(), deposits.clone());
    let last = Replica::start(&nats, |runner| set_up(runner).retry(attempts(2))).await;

    let letter = nats.next_dead_letter().await;
    assert_eq!(
        (letter.kind.as_str(), letter.attempts),
        ("attempts-exhausted", 2)
    );
    assert_eq!(deposits.asked().len(), 3, "it was tried once more");
    last.stop().await;
}

// Guard: `Worker::retry_held` counts an attempt before it begins.
#[tokio::test]
async fn held_event_that_ends_every_process_is_dead_lettered_at_last() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let first = Replica::start(&nats, tellers::<EveryVersion>(ledger.database())).await;
    nats.publish(&deposit(2, 40)).await;
    // The server says for a moment after a publish that nothing waits.
    until("it is held", async || match ledger.held().await {
        1 => Ok(()),
        held => Err(held),
    })
    .await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    first.vanish();
    // As if its predecessor had been applied, and the process had died then.
    assert!(skip(&ledger, 1).await);
    let deposits = Teller::<Deposited, EveryVersion>::behind(&Gate::shut());

    for process in 1..=2 {
        let database = ledger.reopen().await;
        let set_up = tellers_with(&database, deposits.clone());
        let replica = Replica::start(&nats, |runner| set_up(runner).retry(attempts(2))).await;
        deposits.until_asked(process).await;
        replica.vanish();
        ledger.let_a_long_time_pass().await;
    }
    let set_up = tellers_with(ledger.database(), deposits.clone());
    let last = Replica::start(&nats, |runner| set_up(runner).retry(attempts(2))).await;

    let letter = nats.next_dead_letter().await;
    assert_eq!(
        (letter.kind.as_str(), letter.attempts),
        ("attempts-exhausted", 2)
    );
    assert_eq!(deposits.asked().len(), 2, "it was tried once more");
    until("nothing is held", async || match ledger.held().await {
        0 => Ok(()),
        held => Err(held),
    })
    .await;
    last.stop().await;
}

/// A replica is killed when it stands there with an event. `left`: what it has entered by then.
async fn check_killed(halt: Halt, left: &[i64]) {
    let nats = TestNats::start().await;
    nats.provision::<Bank>().await;
    nats.set_lease(ACCOUNTS, BANK, LEASE).await;
    let ledger = Ledger::new().await;
    let mut doomed = BankProcess::halting(BANK_PROCESS, &nats, &ledger, halt).await;
    nats.publish(&deposit(1, 70)).await;
    doomed.until_halted().await;

    doomed.kill();

    assert_eq!(ledger.entries(ACCOUNT).await, left);
    let state = nats.consumer(ACCOUNTS, BANK).await.unwrap();
    assert_eq!(state.unsettled, 1, "the server has heard of it");
    let deposits = Teller::<Deposited, EveryVersion>::content();
    let set_up = tellers_with(ledger.database(), deposits.clone());
    let heir = Replica::start(&nats, |runner| set_up(runner).retry(attempts(1))).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.entries(ACCOUNT).await, [70]);
    assert_eq!(deposits.asked().len(), 1 - left.len());
    assert!(nats.dead_letters().await.is_empty());
    heir.stop().await;
}

// Guard: entry and inbox row are in one transaction, and the ack comes after its commit.
#[tokio::test]
async fn replica_killed_in_the_middle_of_a_handler_leaves_nothing_and_another_applies_the_event() {
    check_killed(Halt::InTransaction, &[]).await;
}

// Guard: `InTransaction::handle_in` asks version guard and inbox before it applies.
#[tokio::test]
async fn event_of_a_replica_killed_between_effect_and_ack_is_not_applied_again() {
    check_killed(Halt::AfterCommit, &[70]).await;
}

// Guard: `InTransaction::handle_in` asks version guard and inbox before it applies.
#[tokio::test]
async fn event_of_a_replica_killed_between_ack_and_flush_is_not_applied_again() {
    check_killed(Halt::AfterAck, &[70]).await;
}

// Guard: `InTransaction::handle_in` asks version guard and inbox within the transaction, not before it.
#[tokio::test]
async fn replica_frozen_before_its_transaction_finds_that_another_has_applied_the_event() {
    let nats = TestNats::start().await;
    nats.provision::<Bank>().await;
    nats.set_lease(ACCOUNTS, BANK, LEASE).await;
    let ledger = Ledger::new().await;
    let halt = Halt::BeforeTransaction;
    let mut frozen = BankProcess::halting(BANK_PROCESS, &nats, &ledger, halt).await;
    nats.publish(&deposit(1, 70)).await;
    frozen.until_halted().await;
    frozen.freeze();

    let other = Replica::start(&nats, tellers::<EveryVersion>(ledger.database())).await;
    until_entered(&ledger, &[70]).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    other.stop().await;
    frozen.go_on();
    frozen.thaw();

    // Comes to the one that is left, behind what it had begun.
    nats.publish(&deposit(2, 40)).await;
    until_entered(&ledger, &[70, 40]).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert!(nats.dead_letters().await.is_empty());
}

// Guard: `is_unavailable` knows a lock for an outage, or blocked events would be dead at once; then version guard and inbox.
#[tokio::test]
async fn replica_frozen_in_its_transaction_holds_up_others_at_no_events_expense_and_commits_once() {
    let nats = TestNats::start().await;
    nats.provision::<Bank>().await;
    nats.set_lease(ACCOUNTS, BANK, LEASE).await;
    let ledger = Ledger::new().await;
    let halt = Halt::InTransaction;
    let mut frozen = BankProcess::halting(BANK_PROCESS, &nats, &ledger, halt).await;
    nats.publish(&deposit(1, 70)).await;
    frozen.until_halted().await;
    frozen.freeze();

    let deposits = Teller::<Deposited, EveryVersion>::content();
    let set_up = tellers_with(ledger.database(), deposits.clone());
    let room = NonZeroUsize::new(256).unwrap();
    let other = Replica::start(&nats, |runner| {
        set_up(runner).retry(attempts(1)).concurrency(room)
    })
    .await;
    // More than the frozen one has asked for: the rest goes to the other, and then the event that the frozen one has.
    let accounts: Vec<_> = (0..200).map(|n| format!("b{n}")).collect();
    for account in &accounts {
        nats.publish(&Deposited::of(account, 1, 7)).await;
    }
    other.until_not_ready("locked").await;
    long_enough_for("the lease to run out", 3 * LEASE).await;
    assert_eq!(ledger.entries(ACCOUNT).await, [0; 0]);
    frozen.go_on();
    frozen.thaw();

    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.entries(ACCOUNT).await, [70]);
    for account in &accounts {
        assert_eq!(ledger.entries(account).await, [7], "{account}");
    }
    assert!(!deposits.asked().contains(&deposit(1, 70)), "tried twice");
    assert!(nats.dead_letters().await.is_empty());
    other.until_ready().await;
    other.stop().await;
}
