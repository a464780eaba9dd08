//! A redrive that breaks off, fails, or has to fetch what it sends: nothing is lost, and nothing is doubled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::Event as _;
use common::dead_letters::{DeadLetters, Redriven};
use integration_tests::notes::{ACCOUNTS, BANK, Deposited, NOTES, READERS, Written};
use integration_tests::{EveryVersion, Ledger, Replica, Teller, TestNats, long_enough_for, until};
use serde_json::json;

use super::dead_letters::{Mended, letters, readers, run, until_letters};
use crate::hazards::bank::{ACCOUNT, deposit, tellers_with, until_entered, withdraw};
use crate::program::{sgt, start_sgt};

/// Users of one account: who may do everything, who may not remove a letter, and who may send none.
const HALFWAY: &str = "\
accounts { ALL { jetstream: enabled, users: [
  { user: all, password: all }
  { user: halfway, password: halfway, permissions: { publish: { deny: [\"$JS.API.STREAM.MSG.DELETE.>\"] } } }
  { user: mute, password: mute, permissions: { publish: { deny: [\"redrive.>\"] } } }
] } }
no_auth_user: all
";

fn as_user(nats: &TestNats, user: &str) -> Vec<(&'static str, String)> {
    let mut environment = nats.environment();
    environment.push(("NATS_USER", user.to_owned()));
    environment.push(("NATS_PASSWORD", user.to_owned()));
    environment
}

#[tokio::test]
async fn redrive_that_breaks_off_after_the_copy_is_finished_later_and_doubles_nothing() {
    let nats = TestNats::configured(HALFWAY).await;
    let mended = Mended::default();
    let reader = mended.listener();
    let replica = readers(&nats, &reader).await;
    nats.publish(&Written::on("p", 1)).await;
    until_letters(&nats, 1).await;
    mended.mend();
    // The server forgets at once what it remembers for two minutes.
    nats.set_stream("NOTES", "duplicate_window", json!(100_000_000))
        .await;

    let halfway = as_user(&nats, "halfway");
    let said = sgt(&halfway, &["dead-letters", "redrive", "1"])
        .await
        .failed();
    assert!(
        said.contains("the copy is stored, and the letter could not be removed"),
        "{said}"
    );
    assert_eq!(letters(&nats).await.len(), 1);
    reader.until_called(2).await;
    long_enough_for(
        "the server to remember the copy",
        Duration::from_millis(500),
    )
    .await;

    // Guard: `is_sent` in `common/src/dead_letters/redrive.rs`.
    let said = run(&nats, "redrive 1").await.ok();
    assert!(
        said.contains("was sent before; the letter is removed now"),
        "{said}"
    );
    assert_eq!(nats.stored("NOTES", "redrive.>").await.len(), 1);
    assert_eq!(letters(&nats).await, []);
    assert_eq!(reader.calls().len(), 2);
    replica.stop().await;
}

#[tokio::test]
async fn redrive_that_is_killed_goes_on_and_doubles_nothing() {
    const LETTERS: usize = 40;
    let nats = TestNats::start().await;
    let mended = Mended::default();
    let reader = mended.listener();
    let replica = readers(&nats, &reader).await;
    for line in 0..LETTERS {
        nats.publish(&Written::on(&format!("p{line}"), 1)).await;
    }
    until_letters(&nats, LETTERS).await;
    mended.mend();

    for rest in [30, 15] {
        let mut sgt = start_sgt(
            &nats.environment(),
            &["dead-letters", "redrive", "--all", "--rate", "100"],
        );
        until("it is in the middle of it", async || {
            match letters(&nats).await.len() {
                left if left <= rest => Ok(()),
                left => Err(left),
            }
        })
        .await;
        sgt.kill().await.unwrap();
    }
    run(&nats, "redrive --all").await.ok();

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(letters(&nats).await, []);
    assert_eq!(nats.stored("NOTES", "redrive.>").await.len(), LETTERS);
    assert_eq!(reader.calls().len(), 2 * LETTERS);
    replica.stop().await;
}

// Guard: `until_signalled` around `redrive`, and `stop` in `Selection::each`.
#[cfg(unix)]
#[tokio::test]
async fn redrive_that_is_interrupted_ends_the_letter_in_hand_and_says_what_it_did() {
    use rustix::process::{Pid, Signal, kill_process};

    const LETTERS: usize = 20;
    let nats = TestNats::start().await;
    let mended = Mended::default();
    let replica = readers(&nats, &mended.listener()).await;
    for line in 0..LETTERS {
        nats.publish(&Written::on(&format!("p{line}"), 1)).await;
    }
    until_letters(&nats, LETTERS).await;
    mended.mend();

    let sgt = start_sgt(
        &nats.environment(),
        &["dead-letters", "redrive", "--all", "--rate", "5"],
    );
    until("it is in the middle of it", async || {
        match letters(&nats).await.len() {
            left if left < LETTERS => Ok(()),
            left => Err(left),
        }
    })
    .await;
    let pid = sgt.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    kill_process(pid.unwrap(), Signal::INT).unwrap();
    let said = crate::program::said(sgt).await;

    assert_eq!(said.code, Some(130), "{said:?}");
    let left = letters(&nats).await.len();
    assert!(0 < left && left < LETTERS, "{left} are left");
    let sent = LETTERS - left;
    assert_eq!(said.stdout.matches(": sent to ").count(), sent, "{said:?}");
    assert!(said.stdout.contains("\nstopped: "), "{said:?}");
    assert!(
        said.stdout.ends_with(&format!("\n{sent} sent\n")),
        "{said:?}"
    );
    assert_eq!(nats.stored("NOTES", "redrive.>").await.len(), sent);
    replica.stop().await;
}

#[tokio::test]
async fn letter_stays_when_its_copy_cannot_be_stored() {
    let nats = TestNats::configured(HALFWAY).await;
    let mended = Mended::default();
    let replica = readers(&nats, &mended.listener()).await;
    nats.publish(&Written::on("p", 1)).await;
    until_letters(&nats, 1).await;
    mended.mend();

    let mute = as_user(&nats, "mute");
    // Guard: the order of `store` and `remove` in `DeadLetters::redrive`.
    let said = sgt(&mute, &["dead-letters", "redrive", "--all"])
        .await
        .failed();
    assert!(
        said.contains("not permitted to publish on `redrive.readers.note:written.p`"),
        "{said}"
    );
    assert_eq!(letters(&nats).await.len(), 1);

    nats.set_stream("NOTES", "max_bytes", json!(1)).await;
    let said = run(&nats, "redrive --all").await.failed();
    assert!(said.contains("is full"), "{said}");
    assert!(said.ends_with("0 sent, 1 failed\n"), "{said}");
    assert_eq!(letters(&nats).await.len(), 1);

    nats.set_stream("NOTES", "max_bytes", json!(-1)).await;
    run(&nats, "redrive --all").await.ok();
    assert_eq!(letters(&nats).await, []);
    replica.stop().await;
}

#[tokio::test]
async fn letter_of_a_group_that_does_not_listen_stays() {
    let nats = TestNats::start().await;
    let replica = readers(&nats, &Mended::default().listener()).await;
    nats.publish(&Written::on("p", 1)).await;
    until_letters(&nats, 1).await;
    replica.stop().await;
    nats.delete_consumer(NOTES, READERS).await;

    let said = run(&nats, "redrive --all").await.failed();

    // Guard: `Unheard` in `DeadLetters::prepare`.
    assert!(said.contains("the copy would reach nobody"), "{said}");
    assert_eq!(letters(&nats).await.len(), 1);
}

#[tokio::test]
async fn event_that_stays_in_its_stream_is_sent_again_from_there() {
    let nats = TestNats::start().await;
    let mended = Mended::default();
    let reader = mended.listener();
    let replica = readers(&nats, &reader).await;
    let vast = |page: &str| Written {
        text: "x".repeat(1024 * 1024 - 400),
        ..Written::on(page, 1)
    };
    for page in ["a", "b"] {
        let payload = serde_json::to_vec(&vast(page)).unwrap();
        nats.put(&format!("note:written.{page}"), payload).await;
    }
    let both = until_letters(&nats, 2).await;
    assert!(both.iter().all(|letter| letter.payload.is_empty()));
    let gone = both.iter().find(|l| l.key.as_deref() == Some("b")).unwrap();
    let sequence = gone.origin.as_ref().unwrap().sequence;
    nats.tell("STREAM.MSG.DELETE.NOTES", &json!({ "seq": sequence }))
        .await;
    mended.mend();

    let said = run(&nats, "redrive --all").await.failed();

    assert!(said.contains("the original is gone from NOTES"), "{said}");
    assert!(said.ends_with("1 sent, 1 failed\n"), "{said}");
    let calls = reader.until_called(3).await;
    assert_eq!(calls[2].event, vast("a"));
    let left = letters(&nats).await;
    assert_eq!(left[0].key.as_deref(), Some("b"));
    replica.stop().await;
}

#[tokio::test]
async fn dead_version_that_is_sent_again_is_followed_by_what_was_held_behind_it() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let deposits = Teller::<Deposited, EveryVersion>::with(move |deposit| {
        if deposit.amount == 40 && !is_mended.load(Ordering::SeqCst) {
            return Err(common::Failure::reject("forty is not allowed"));
        }
        Ok(())
    });
    let replica = Replica::start(&nats, tellers_with(ledger.database(), deposits)).await;
    nats.publish(&deposit(1, 70)).await;
    nats.publish(&deposit(2, 40)).await;
    nats.publish(&withdraw(3, 100)).await;
    nats.publish(&deposit(4, 5)).await;
    let letter = until_letters(&nats, 1).await.remove(0);
    nats.until_caught_up(ACCOUNTS, BANK).await;
    until("two are held", async || match ledger.held().await {
        2 => Ok(()),
        held => Err(held),
    })
    .await;
    assert_eq!(ledger.entries(ACCOUNT).await, [70]);

    let dead_letters = DeadLetters::new(nats.client());
    let redrive = dead_letters.prepare(&letter).await.unwrap();
    let decoded = redrive.decode::<integration_tests::notes::Bank>().unwrap();
    assert_eq!(decoded.version, Some(deposit(2, 40).version));
    mended.store(true, Ordering::SeqCst);
    let sent = dead_letters.redrive(&redrive).await.unwrap();
    assert!(matches!(sent, Redriven::Sent { .. }), "{sent:?}");

    until_entered(&ledger, &[70, 40, -100, 5]).await;
    let again = dead_letters.redrive(&redrive).await.unwrap();
    assert_eq!(again, Redriven::SentBefore);
    nats.until_caught_up(ACCOUNTS, BANK).await;
    assert_eq!(ledger.entries(ACCOUNT).await, [70, 40, -100, 5]);
    assert_eq!(ledger.held().await, 0);
    assert_eq!(deposit(2, 40).key().as_str(), letter.key.unwrap());
    replica.stop().await;
}
