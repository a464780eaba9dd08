//! What a database publishes: what is committed, in order, and once.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{Client, Database, Event, Publisher as _, Relay, build_client};
use integration_tests::notes::{ACCOUNTS, Bank, Deposited};
use integration_tests::{
    BankProcess, Cable, EveryVersion, Halt, Ledger, Replica, Role, TestNats, long_enough_for, until,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::bank::{BANK_PROCESS, deposit, tellers, until_entered, withdraw};

/// A relay, as a task of the test.
struct Relaying {
    stop: CancellationToken,
    running: AbortOnDropHandle<()>,
}

impl Relaying {
    fn start(database: &Database, client: &Client) -> Self {
        let stop = CancellationToken::new();
        let relay = Relay::new(database, client).run(stop.clone().cancelled_owned());
        Self {
            stop,
            running: AbortOnDropHandle::new(tokio::spawn(relay)),
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }

    fn vanish(self) {
        self.running.abort();
    }
}

async fn commit<E: Event>(ledger: &Ledger, event: &E) {
    let mut tx = ledger.database().begin().await.unwrap();
    tx.publish(event).await.unwrap();
    tx.commit().await.unwrap();
}

// Guard: the outbox.
#[tokio::test]
async fn what_is_committed_while_the_server_is_away_arrives_in_order_when_it_is_back() {
    let nats = TestNats::alone().await;
    let publishing = Ledger::new().await;
    let applying = Ledger::new().await;
    let replica = Replica::start(&nats, tellers::<EveryVersion>(applying.database())).await;
    let relay = Relaying::start(publishing.database(), nats.client());
    commit(&publishing, &deposit(1, 1)).await;
    until_entered(&applying, &[1]).await;

    nats.server().kill().await;
    for number in 2..=50 {
        commit(&publishing, &deposit(number, number.cast_signed())).await;
    }
    let mut undone = publishing.database().begin().await.unwrap();
    undone.publish(&deposit(51, 51)).await.unwrap();
    undone.rollback().await.unwrap();
    assert_eq!(publishing.database().pending_events().await.unwrap(), 49);
    nats.server().restart().await;

    let all: Vec<_> = (1..=50).collect();
    until_entered(&applying, &all).await;
    publishing.until_sent().await;
    let stored = nats.stored("ACCOUNTS", "account:deposited.*").await;
    let versions: Vec<_> = stored
        .iter()
        .map(|message| {
            serde_json::from_slice::<Deposited>(&message.payload)
                .unwrap()
                .amount
        })
        .collect();
    assert_eq!(versions, all, "stored once each, in order");
    relay.stop().await;
    replica.stop().await;
}

#[tokio::test]
async fn what_is_in_the_outbox_before_there_is_a_relay_is_sent_when_there_is_one() {
    let nats = TestNats::start().await;
    nats.provision::<Bank>().await;
    let ledger = Ledger::new().await;
    let mut tx = ledger.database().begin().await.unwrap();
    tx.publish(&deposit(1, 70)).await.unwrap();
    tx.publish(&withdraw(2, 30)).await.unwrap();
    tx.commit().await.unwrap();

    // Nothing is sent without a relay, and everything as soon as there is one.
    long_enough_for("somebody to send it", Duration::from_millis(100)).await;
    assert_eq!(nats.stream_messages(ACCOUNTS).await, 0);
    let relay = Relaying::start(ledger.database(), nats.client());

    ledger.until_sent().await;
    let stored = nats.stored("ACCOUNTS", ">").await;
    let subjects: Vec<_> = stored
        .iter()
        .map(|message| message.subject.as_str())
        .collect();
    assert_eq!(subjects, ["account:deposited.a", "account:withdrawn.a"]);
    relay.stop().await;
}

// Guard: lanes of the relay: one for each key.
#[tokio::test]
async fn refused_event_holds_up_its_account_only_and_shows_in_readiness() {
    let nats = TestNats::configured(
        r#"
        authorization {
            users: [
                { user: operator, password: none }
                { user: bank, password: secret, permissions: { publish: { deny: "account:withdrawn.*" } } }
            ]
        }
        no_auth_user: operator
        "#,
    )
    .await;
    nats.provision::<Bank>().await;
    let ledger = Ledger::new().await;
    let config = nats.config("bank").user("bank", "secret");
    let client = build_client(&config).await.unwrap();
    let relay = Relaying::start(ledger.database(), &client);
    commit(&ledger, &withdraw(1, 1)).await;
    commit(&ledger, &deposit(2, 2)).await;
    commit(&ledger, &Deposited::of("b", 1, 7)).await;

    until("the outbox is in trouble", async || {
        let troubles = client.health().troubles();
        let outbox = troubles
            .get("outbox")
            .map(|trouble| trouble.message.clone());
        match outbox {
            Some(message) if message.contains("account:withdrawn.a") => Ok(()),
            other => Err(other),
        }
    })
    .await;
    until("the other account is published", async || {
        match ledger.database().pending_events().await.unwrap() {
            2 => Ok(()),
            pending => Err(pending),
        }
    })
    .await;
    let stored = nats.stored("ACCOUNTS", ">").await;
    let subjects: Vec<_> = stored
        .iter()
        .map(|message| message.subject.as_str())
        .collect();
    assert_eq!(subjects, ["account:deposited.b"], "a successor overtook");
    assert!(!client.health().is_ready());
    relay.stop().await;
}

// Guard: the relay's lease ends by itself, and `Nats-Msg-Id` tells its successor's copy.
#[tokio::test]
async fn one_relay_works_and_another_takes_over_when_it_has_vanished() {
    let nats = TestNats::start().await;
    nats.provision::<Bank>().await;
    let ledger = Ledger::new().await;
    let sibling = ledger.reopen().await;
    let cable = Cable::to(nats.url()).await;
    let far = nats.config("far").url(cable.url());
    let far = build_client(&far).await.unwrap();
    let near = nats.connect("near").await;
    let one = Relaying::start(ledger.database(), &far);
    commit(&ledger, &deposit(1, 1)).await;
    ledger.until_sent().await;
    let (first, epoch) = ledger.relay().await.unwrap();
    let other = Relaying::start(&sibling, &near);

    for number in 2..=20 {
        commit(&ledger, &deposit(number, 1)).await;
    }
    ledger.until_sent().await;
    assert_eq!(ledger.relay().await, Some((first.clone(), epoch)));
    let said = &near.nats().statistics().out_messages;
    assert_eq!(said.load(Ordering::Relaxed), 0, "two relays worked at once");

    // It vanishes after the server has stored an event and before it hears so.
    cable.mute();
    commit(&ledger, &deposit(21, 1)).await;
    until("the server has it", async || {
        match nats.stream_messages(ACCOUNTS).await {
            21 => Ok(()),
            stored => Err(stored),
        }
    })
    .await;
    one.vanish();
    commit(&ledger, &deposit(22, 1)).await;

    ledger.until_sent().await;
    let (second, later) = ledger.relay().await.unwrap();
    assert!(second != first && later > epoch, "{first} {second}");
    let stored = nats.stored("ACCOUNTS", ">").await;
    let versions: Vec<_> = stored
        .iter()
        .map(|message| {
            serde_json::from_slice::<Deposited>(&message.payload)
                .unwrap()
                .version
        })
        .collect();
    let expected: Vec<_> = (1..=22).map(|number| deposit(number, 1).version).collect();
    assert_eq!(versions, expected, "once each, in order");
    other.stop().await;
}

#[tokio::test]
async fn relay_that_stops_in_order_leaves_nobody_waiting() {
    let nats = TestNats::start().await;
    nats.provision::<Bank>().await;
    let ledger = Ledger::new().await;
    let sibling = ledger.reopen().await;
    let one = Relaying::start(ledger.database(), nats.client());
    commit(&ledger, &deposit(1, 1)).await;
    ledger.until_sent().await;
    let other = Relaying::start(&sibling, nats.client());

    one.stop().await;
    let began = Instant::now();
    commit(&ledger, &deposit(2, 1)).await;
    ledger.until_sent().await;

    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(5),
        "waited for the lease: {took:?}"
    );
    other.stop().await;
}

/// The events of the account that are stored, in their order.
async fn stored_versions(nats: &TestNats) -> Vec<common::Version> {
    let stored = nats.stored("ACCOUNTS", ">").await;
    let deposits = stored
        .iter()
        .map(|message| serde_json::from_slice::<Deposited>(&message.payload).unwrap());
    deposits.map(|deposit| deposit.version).collect()
}

// Guard: the lease's epoch, and `Nats-Msg-Id` for what was already on its way.
#[tokio::test]
async fn frozen_relay_is_replaced_and_sends_nothing_of_its_own_when_it_thaws() {
    let nats = TestNats::start().await;
    nats.provision::<Bank>().await;
    let ledger = Ledger::new().await;
    let cable = Cable::to(nats.url()).await;
    let (url, never) = (cable.url(), Halt::Never);
    let frozen = BankProcess::start_at(BANK_PROCESS, &nats, url, &ledger, Role::Relay, never).await;
    commit(&ledger, &deposit(1, 1)).await;
    ledger.until_sent().await;
    let (first, epoch) = ledger.relay().await.unwrap();
    // What it says from now on is on its way until it has thawed.
    cable.deafen();
    for number in 2..=20 {
        commit(&ledger, &deposit(number, 1)).await;
    }
    long_enough_for("it to say them", Duration::from_millis(500)).await;

    frozen.freeze();
    let sibling = ledger.reopen().await;
    let other = Relaying::start(&sibling, nats.client());
    ledger.until_sent().await;
    commit(&ledger, &deposit(21, 1)).await;
    ledger.until_sent().await;
    let (second, later) = ledger.relay().await.unwrap();
    assert!(second != first && later > epoch, "{first} {second}");
    cable.mend();
    frozen.thaw();

    // It is well, and works again when it is its turn.
    other.stop().await;
    commit(&ledger, &deposit(22, 1)).await;
    ledger.until_sent().await;
    let (third, last) = ledger.relay().await.unwrap();
    assert!(third == first && last > later, "{third} {last}");
    let expected: Vec<_> = (1..=22).map(|number| deposit(number, 1).version).collect();
    assert_eq!(
        stored_versions(&nats).await,
        expected,
        "once each, in order"
    );
}

/// Commits while the stream takes nothing, and then when it does again.
async fn check_kept(
    nats: &TestNats,
    spoil: impl AsyncFnOnce(),
    trouble: &str,
    mend: impl AsyncFnOnce(),
) {
    nats.provision::<Bank>().await;
    let ledger = Ledger::new().await;
    let relay = Relaying::start(ledger.database(), nats.client());
    commit(&ledger, &Deposited::of("b", 1, 7)).await;
    ledger.until_sent().await;
    spoil().await;

    commit(&ledger, &deposit(1, 70)).await;
    commit(&ledger, &deposit(2, 40)).await;
    until(&format!("the outbox says `{trouble}`"), async || {
        let troubles = nats.client().health().troubles();
        match troubles
            .get("outbox")
            .map(|trouble| trouble.message.clone())
        {
            Some(message) if message.contains(trouble) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(ledger.database().pending_events().await.unwrap(), 2);
    mend().await;

    ledger.until_sent().await;
    let versions = stored_versions(nats).await;
    let expected = [1, 2].map(|number| deposit(number, 1).version);
    assert!(versions.ends_with(&expected), "{versions:?}");
    relay.stop().await;
}

// Guard: `Shift::settle` removes a row only when the server has stored its event.
#[tokio::test]
async fn outbox_keeps_what_a_full_stream_does_not_take() {
    let nats = TestNats::start().await;
    let fill = async || nats.set_stream("ACCOUNTS", "max_msgs", json!(1)).await;
    let make_room = async || nats.set_stream("ACCOUNTS", "max_msgs", json!(-1)).await;
    check_kept(&nats, fill, "is full", make_room).await;
}

// Guard: `Shift::settle` removes a row only when the server has stored its event.
#[tokio::test]
async fn outbox_keeps_what_a_deleted_stream_would_have_taken() {
    let nats = TestNats::start().await;
    let delete = async || nats.delete_stream("ACCOUNTS").await;
    let again = async || nats.provision::<Bank>().await;
    check_kept(&nats, delete, "no stream takes", again).await;
}
