//! An account is paid 70 and 40, and 100 is taken out: it ends at 10. Under each of the hazards that the library is
//! about, and under all of them at once, with several replicas on one database, it always does, nobody is refused
//! the money, and at no moment is there less than nothing.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Failure, Publisher as _, Relay, Runner, build_client};
use integration_tests::notes::{ACCOUNTS, BANK, Bank, Deposited, Withdrawn};
use integration_tests::{
    BankProcess, Cable, EveryVersion, Halt, Ledger, Replica, Role, Teller, TestNats, attempts,
    until,
};
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;
use xtask::command;

use crate::hazards::bank::{
    ACCOUNT, BANK_PROCESS, deposit, headers_of, pairs, tellers, tellers_with, withdraw,
};

/// As long as a killed replica may keep what it had.
const LEASE: Duration = Duration::from_secs(1);
/// How many accounts there are where everything happens at once.
const ACCOUNTS_AT_ONCE: usize = 20;

/// Waits until everything is settled, and asserts what must be true of an account then.
async fn assert_ends_at_ten(nats: &TestNats, ledger: &Ledger, account: &str) {
    let entries = until(&format!("all is entered for `{account}`"), async || {
        let entries = ledger.entries(account).await;
        if entries.len() >= 3 {
            Ok(entries)
        } else {
            let letters = nats.dead_letters().await;
            let reasons: Vec<_> = letters.into_iter().map(|letter| letter.reason).collect();
            Err((entries, reasons))
        }
    })
    .await;
    let mut balance = 0;
    for entry in &entries {
        balance += entry;
        assert!(balance >= 0, "`{account}` was overdrawn: {entries:?}");
    }
    assert_eq!(balance, 10, "`{account}`: {entries:?}");
}

/// As [`assert_ends_at_ten`] for the one account, once nothing is on its way any more.
async fn assert_all_is_well(nats: &TestNats, ledger: &Ledger) {
    assert_ends_at_ten(nats, ledger, ACCOUNT).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.entries(ACCOUNT).await, [70, 40, -100]);
    assert_eq!(ledger.held().await, 0);
    assert!(nats.dead_letters().await.is_empty(), "somebody was refused");
}

/// Two replicas on one database, which share what comes.
async fn two_replicas(nats: &TestNats, ledger: &Ledger) -> [Replica; 2] {
    let sibling = ledger.reopen().await;
    [
        Replica::start(nats, tellers::<EveryVersion>(ledger.database())).await,
        Replica::start(nats, tellers::<EveryVersion>(&sibling)).await,
    ]
}

/// Listeners that fail at every other event, and panic at some.
fn clumsy(ledger: &Ledger) -> impl FnOnce(Runner) -> Runner {
    let calls = Arc::new(AtomicUsize::new(0));
    let fails = move |_: &Deposited| match calls.fetch_add(1, Ordering::SeqCst) % 4 {
        0 => Err(Failure::retry("the pen is dry")),
        2 => panic!("ink everywhere"),
        _ => Ok(()),
    };
    let set_up = tellers_with::<EveryVersion>(ledger.database(), Teller::with(fails));
    |runner| set_up(runner).retry(attempts(10))
}

#[tokio::test]
async fn example_ends_at_ten() {
    let nats = TestNats::start().await;
    let folder = TempDir::new().unwrap();
    let mut example = Command::new(env!("CARGO_BIN_EXE_account-example-under-test"));
    example.current_dir(folder.path()).envs(nats.environment());

    let ended = tokio::task::spawn_blocking(move || {
        command::run(&mut example, Duration::from_secs(30)).unwrap()
    });

    let ended = ended.await.unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout, "[70, 40, -100] make 10\n");
}

// Guard: `Worker::failed` gives the event back, and the version guard holds its successor meanwhile.
#[tokio::test]
async fn account_ends_at_ten_though_its_listener_fails() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let one = Replica::start(&nats, clumsy(&ledger)).await;
    let other = Replica::start(&nats, clumsy(&ledger)).await;

    nats.publish(&deposit(1, 70)).await;
    nats.publish(&deposit(2, 40)).await;
    nats.publish(&withdraw(3, 100)).await;

    assert_all_is_well(&nats, &ledger).await;
    one.stop().await;
    other.stop().await;
}

// Guard: the version guard.
#[tokio::test]
async fn account_ends_at_ten_though_one_replica_is_faster_than_another() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let cable = Cable::to(nats.url()).await;
    let far = build_client(&nats.config("far").url(cable.url())).await;
    let slow = Replica::begin(&far.unwrap(), |runner| {
        tellers::<EveryVersion>(ledger.database())(runner).concurrency(std::num::NonZeroUsize::MIN)
    });
    slow.until_ready().await;
    nats.publish(&deposit(1, 70)).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    // It is given the deposit of 40 and another, more it has not asked for, and hears of neither.
    cable.mute();
    nats.publish(&deposit(2, 40)).await;
    nats.publish(&Deposited::of("b", 1, 7)).await;
    nats.until_consumer(ACCOUNTS, BANK, "has given away both", |state| {
        state.unsettled == 2
    })
    .await;

    let sibling = ledger.reopen().await;
    let fast = Replica::start(&nats, tellers::<EveryVersion>(&sibling)).await;
    nats.publish(&withdraw(3, 100)).await;
    until("the withdrawal is held", async || {
        match ledger.held().await {
            1 => Ok(()),
            held => Err(held),
        }
    })
    .await;
    assert_eq!(ledger.entries(ACCOUNT).await, [70]);
    cable.mend();

    assert_all_is_well(&nats, &ledger).await;
    slow.stop().await;
    fast.stop().await;
}

// Guard: the lease, which a dead replica does not renew.
#[tokio::test]
async fn account_ends_at_ten_though_a_dead_client_is_thought_alive() {
    let nats = TestNats::start().await;
    nats.provision::<Bank>().await;
    nats.set_lease(ACCOUNTS, BANK, LEASE).await;
    let ledger = Ledger::new().await;
    let halt = Halt::BeforeTransaction;
    let mut dead = BankProcess::halting(BANK_PROCESS, &nats, &ledger, halt).await;
    nats.publish(&deposit(1, 70)).await;
    dead.until_halted().await;
    nats.publish(&deposit(2, 40)).await;
    dead.kill();

    let replicas = two_replicas(&nats, &ledger).await;
    nats.publish(&withdraw(3, 100)).await;

    assert_all_is_well(&nats, &ledger).await;
    for replica in replicas {
        replica.stop().await;
    }
}

/// Puts every event of the account into the stream once more, as the same or under an id of its own.
async fn tell_again(nats: &TestNats, account: &str) {
    for message in nats.stored("ACCOUNTS", &format!("*.{account}")).await {
        let again = format!("again {}", message.sequence);
        let headers = headers_of(&message.headers, &again);
        let payload = message.payload.clone();
        nats.put_with(&message.subject, &pairs(&headers), payload)
            .await;
        nats.put(&message.subject, message.payload).await;
    }
}

// Guard: inbox and version guard, each of which knows some of the copies.
#[tokio::test]
async fn account_ends_at_ten_though_every_event_arrives_three_times() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let replicas = two_replicas(&nats, &ledger).await;

    nats.publish(&deposit(1, 70)).await;
    nats.publish(&deposit(2, 40)).await;
    nats.publish(&withdraw(3, 100)).await;
    tell_again(&nats, ACCOUNT).await;

    assert_all_is_well(&nats, &ledger).await;
    assert_eq!(nats.stream_messages(ACCOUNTS).await, 9);
    for replica in replicas {
        replica.stop().await;
    }
}

/// Saves the three changes of an account, each with its event.
async fn save(ledger: &Ledger, account: &str) {
    let mut tx = ledger.database().begin().await.unwrap();
    tx.publish(&Deposited::of(account, 1, 70)).await.unwrap();
    tx.publish(&Deposited::of(account, 2, 40)).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = ledger.database().begin().await.unwrap();
    tx.publish(&Withdrawn::of(account, 3, 100)).await.unwrap();
    tx.commit().await.unwrap();
}

// Guard: the outbox.
#[tokio::test]
async fn account_ends_at_ten_though_the_process_died_when_the_rows_were_saved() {
    let nats = TestNats::start().await;
    nats.provision::<Bank>().await;
    let (saving, ledger) = (Ledger::new().await, Ledger::new().await);
    let cable = Cable::to(nats.url()).await;
    let (url, never) = (cable.url(), Halt::Never);
    let mut dead =
        BankProcess::start_at(BANK_PROCESS, &nats, url, &saving, Role::Relay, never).await;
    cable.deafen();
    save(&saving, ACCOUNT).await;
    until("it works", async || saving.relay().await.ok_or("nobody")).await;
    dead.kill();
    assert_eq!(nats.stream_messages(ACCOUNTS).await, 0);
    cable.cut();

    let _next = BankProcess::start(BANK_PROCESS, &nats, &saving, Role::Relay).await;
    let replicas = two_replicas(&nats, &ledger).await;

    assert_all_is_well(&nats, &ledger).await;
    for replica in replicas {
        replica.stop().await;
    }
}

// Guard: all of the above.
#[tokio::test]
async fn accounts_end_at_ten_though_everything_happens_at_once() {
    let nats = TestNats::alone().await;
    nats.provision::<Bank>().await;
    nats.set_lease(ACCOUNTS, BANK, LEASE).await;
    let (saving, ledger) = (Ledger::new().await, Ledger::new().await);
    let mut relay = BankProcess::start(BANK_PROCESS, &nats, &saving, Role::Relay).await;
    let halt = Halt::InTransaction;
    let mut frozen = BankProcess::halting(BANK_PROCESS, &nats, &ledger, halt).await;
    let accounts: Vec<_> = (0..ACCOUNTS_AT_ONCE).map(|n| format!("a{n}")).collect();
    // A process stands still in the middle of a transaction, and then for good.
    nats.publish(&Withdrawn::of(&accounts[0], 3, 100)).await;
    nats.publish(&Deposited::of(&accounts[0], 1, 70)).await;
    frozen.until_halted().await;
    let clumsy = [
        Replica::start(&nats, clumsy(&ledger)).await,
        Replica::start(&nats, clumsy(&ledger)).await,
    ];

    let (some, others) = accounts.split_at(ACCOUNTS_AT_ONCE / 2);
    for account in some {
        save(&saving, account).await;
        tell_again(&nats, account).await;
    }
    frozen.kill();
    nats.server().kill().await;
    relay.kill();
    for account in others {
        save(&saving, account).await;
    }
    nats.server().restart().await;
    let stop = std::future::pending();
    let heir = Relay::new(saving.database(), nats.client()).run(stop);
    let _heir = AbortOnDropHandle::new(tokio::spawn(heir));
    for account in others.iter().rev() {
        nats.publish(&Withdrawn::of(account, 3, 100)).await;
        nats.publish(&Deposited::of(account, 2, 40)).await;
        tell_again(&nats, account).await;
    }

    saving.until_sent().await;
    for account in &accounts {
        assert_ends_at_ten(&nats, &ledger, account).await;
    }
    nats.until_caught_up(ACCOUNTS, BANK).await;
    for account in &accounts {
        assert_eq!(ledger.entries(account).await, [70, 40, -100], "{account}");
    }
    assert_eq!(ledger.held().await, 0);
    assert!(nats.dead_letters().await.is_empty(), "somebody was refused");
    for replica in clumsy {
        replica.until_ready().await;
        replica.stop().await;
    }
}
