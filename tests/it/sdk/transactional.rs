//! Twice equals once, and early waits: events applied to a database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Database, Failure, Runner};
use integration_tests::notes::{
    ACCOUNTS, ARCHIVE, BANK, Bank, Deposited, NOTES, READERS, Withdrawn, Written,
};
use integration_tests::{
    Act, Archivist, EveryVersion, Gate, Ledger, Letter, NewestOnly, Reader, Reads, Replica,
    Scripted, Teller, TestNats, attempts, until,
};

type Headers = BTreeMap<String, Vec<String>>;

pub(super) const ACCOUNT: &str = "a";

pub(super) fn deposit(number: u64, amount: i64) -> Deposited {
    Deposited::of(ACCOUNT, number, amount)
}

pub(super) fn withdraw(number: u64, amount: i64) -> Withdrawn {
    Withdrawn::of(ACCOUNT, number, amount)
}

/// The listeners of a bank that enters everything.
pub(super) fn tellers<O: Reads>(database: &Database) -> impl FnOnce(Runner) -> Runner {
    tellers_with::<O>(database, Teller::content())
}

pub(super) fn tellers_with<O: Reads>(
    database: &Database,
    deposits: Teller<Deposited, O>,
) -> impl FnOnce(Runner) -> Runner {
    move |runner| {
        runner
            .listen_in(database, deposits)
            .listen_in(database, Teller::<Withdrawn, O>::content())
    }
}

pub(super) async fn until_entered(ledger: &Ledger, entries: &[i64]) {
    until(&format!("{entries:?} are entered"), async || {
        let entered = ledger.entries(ACCOUNT).await;
        if entered == entries {
            Ok(())
        } else {
            Err(entered)
        }
    })
    .await;
}

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

#[tokio::test]
async fn event_that_comes_twice_is_applied_once() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let deposits = Teller::<Deposited, EveryVersion>::content();
    let set_up = tellers_with(ledger.database(), deposits.clone());
    let replica = Replica::start(&nats, set_up).await;
    nats.publish(&deposit(1, 70)).await;
    let original = nats.stored("ACCOUNTS", ">").await.remove(0);

    // The same event again, for whom the server's window is too short to tell.
    let headers: Vec<_> = headers_of(&original.headers, "again");
    let headers: Vec<_> = pairs(&headers);
    nats.put_with(&original.subject, &headers, original.payload.clone())
        .await;
    // The same version from another publisher, under an id of its own.
    nats.publish(&deposit(1, 70)).await;
    // And once more after its successor.
    nats.publish(&deposit(2, 40)).await;
    nats.publish(&deposit(1, 70)).await;

    nats.until_caught_up(ACCOUNTS, BANK).await;
    until_entered(&ledger, &[70, 40]).await;
    assert_eq!(
        nats.stream_messages(ACCOUNTS).await,
        5,
        "all were delivered"
    );
    assert_eq!(deposits.asked(), [deposit(1, 70), deposit(2, 40)]);
    assert!(nats.dead_letters().await.is_empty());
    replica.stop().await;
}

#[tokio::test]
async fn event_without_a_version_is_known_by_its_source_and_id() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let teller = Teller::<Written, EveryVersion>::content();
    let replica = Replica::start(&nats, |runner| {
        runner.listen_in(ledger.database(), teller.clone())
    })
    .await;
    let line = |number: u32| serde_json::to_vec(&Written::on("a", number)).unwrap();

    for (source, id, number) in [
        ("/writers", "1", 1),
        ("/writers", "1", 1),
        ("/writers", "2", 2),
        ("/others", "1", 3),
        ("/others", "1", 3),
        ("/writers", "1", 1),
    ] {
        let headers = [("ce-source", source), ("ce-id", id)];
        nats.put_with("note:written.a", &headers, line(number))
            .await;
    }

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(ledger.entries("a").await, [1, 2, 3]);
    assert_eq!(teller.asked().len(), 3);
    replica.stop().await;
}

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

#[tokio::test]
async fn failed_attempt_leaves_nothing_behind_and_the_next_one_succeeds() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let failed = AtomicBool::new(false);
    let deposits = Teller::<Deposited, EveryVersion>::with(move |_| {
        if failed.swap(true, Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Failure::retry("the pen is dry"))
        }
    });
    let set_up = tellers_with(ledger.database(), deposits.clone());
    let replica = Replica::start(&nats, set_up).await;

    nats.publish(&deposit(1, 70)).await;
    nats.publish(&deposit(2, 40)).await;

    until_entered(&ledger, &[70, 40]).await;
    assert_eq!(deposits.asked().len(), 3);
    nats.until_caught_up(ACCOUNTS, BANK).await;
    replica.stop().await;
}

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

    // While its reason stands, a redrive ends where it came from.
    redrive(&nats, "bank", &letter, "1").await;
    let again = nats.next_dead_letter().await;
    assert_eq!(again.payload, letter.payload);
    assert_eq!(ledger.entries(ACCOUNT).await, [70]);
    mended.store(true, Ordering::SeqCst);
    redrive(&nats, "bank", &again, "2").await;

    until_entered(&ledger, &[70, 40, -100]).await;
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.held().await, 0);
    assert_eq!(nats.dead_letters().await.len(), 2);
    replica.stop().await;
}

#[tokio::test]
async fn redrive_goes_to_the_group_that_failed_and_to_no_other() {
    let nats = TestNats::start().await;
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let reader = Scripted::<Written, Reader>::new(move |_, _| {
        if is_mended.load(Ordering::SeqCst) {
            Act::Ack
        } else {
            Act::Reject("no glasses")
        }
    });
    let archivist = Scripted::<Written, Archivist>::acks();
    let replica = Replica::start(&nats, |runner| {
        runner.listen(reader.clone()).listen(archivist.clone())
    })
    .await;
    nats.publish(&Written::on("p", 1)).await;
    let letter = nats.next_dead_letter().await;
    let id = letter.headers["ce-id"].clone();

    mended.store(true, Ordering::SeqCst);
    redrive(&nats, "readers", &letter, "1").await;

    let calls = reader.until_called(2).await;
    assert_eq!(reader.events(), [1, 1].map(|line| Written::on("p", line)));
    assert_eq!(calls[1].metadata.id(), id[0], "it is the same event");
    assert_eq!(calls[1].metadata.attempt(), 1);
    nats.until_caught_up(NOTES, READERS).await;
    nats.until_caught_up(NOTES, ARCHIVE).await;
    assert_eq!(archivist.calls().len(), 1);
    replica.stop().await;
}

/// Sends a letter's message to its group again, as an operator's tool does.
pub(super) async fn redrive(nats: &TestNats, group: &str, letter: &Letter, id: &str) {
    let prefix = format!("dead-letter.{group}.");
    let rest = letter.subject.strip_prefix(&prefix).unwrap();
    let headers = headers_of(&letter.headers, id);
    let subject = format!("redrive.{group}.{rest}");
    nats.put_with(&subject, &pairs(&headers), letter.payload.clone())
        .await;
}

/// The event's own, and another id for the server.
fn headers_of(headers: &Headers, id: &str) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| !name.starts_with("Nats-"))
        .map(|(name, values)| (name.clone(), values[0].clone()))
        .chain([("Nats-Msg-Id".to_owned(), id.to_owned())])
        .collect()
}

fn pairs(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    let pairs = headers.iter();
    pairs
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

#[tokio::test]
async fn attempts_are_counted_in_the_database_and_the_last_is_a_dead_letter() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let deposits = Teller::<Deposited, EveryVersion>::with(|_| panic!("ink everywhere"));
    let first = Replica::start(&nats, |runner| {
        let minutes = Duration::from_mins(5);
        let policy = common::RetryPolicy::new(attempts(2).max_attempts(), minutes, minutes);
        tellers_with(ledger.database(), deposits.clone())(runner).retry(policy)
    })
    .await;
    nats.publish(&deposit(1, 70)).await;
    until("it has failed once", async || {
        let asked = deposits.asked().len();
        if asked == 1 { Ok(()) } else { Err(asked) }
    })
    .await;
    first.stop().await;
    // The server forgets how often it has delivered, and the database does not.
    nats.delete_consumer(ACCOUNTS, BANK).await;
    let second = Replica::start(&nats, |runner| {
        tellers_with(ledger.database(), deposits.clone())(runner).retry(attempts(2))
    })
    .await;

    let letter = nats.next_dead_letter().await;

    assert_eq!(
        (letter.kind.as_str(), letter.attempts),
        ("attempts-exhausted", 2)
    );
    assert_eq!(letter.reason, "handler panicked: ink everywhere");
    assert_eq!(ledger.entries(ACCOUNT).await, [0; 0]);
    second.stop().await;
}

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
