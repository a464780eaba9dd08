//! Processes that are killed or frozen in the middle of what they do.

use std::time::Duration;

use integration_tests::notes::{ACCOUNTS, BANK, Bank, Deposited};
use integration_tests::{EveryVersion, Gate, Ledger, Replica, Teller, TestNats, attempts, until};

use super::bank::{deposit, skip, tellers, tellers_with};

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
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.held().await, 1);
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
