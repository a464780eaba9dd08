//! An event that has changed twice: one stream with three forms of it, and what a listener is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::testing::{Envelope, Outcome, deliver};
use common::{Event, Failure, Runner};
use integration_tests::notes::READERS;
use integration_tests::parcels::{FirstWeighed, PARCELS, SecondWeighed, Weighed};
use integration_tests::{
    EveryVersion, Ledger, Letter, Reader, Replica, Scripted, Teller, TestNats, until,
};
use serde_json::json;

use crate::hazards::bank::redrive;

const SUBJECT: &str = "parcel:weighed.p";
/// The most often that a message is handed back that nobody can read.
const HAND_BACKS: u32 = 12;

/// What a listener of the third release is given for the second form of an event.
fn upcast(number: u64, grams: u32) -> Weighed {
    Weighed::of("p", number, grams, "unknown")
}

async fn until_entered(ledger: &Ledger, entries: &[i64]) {
    until(&format!("{entries:?} are entered"), async || {
        let entered = ledger.entries("p").await;
        if entered == entries {
            Ok(())
        } else {
            Err(entered)
        }
    })
    .await;
}

/// A replica of the third release that enters what it is given.
async fn teller(
    nats: &TestNats,
    ledger: &Ledger,
    teller: &Teller<Weighed, EveryVersion>,
) -> Replica {
    Replica::start(nats, |runner| {
        runner.listen_in(ledger.database(), teller.clone())
    })
    .await
}

// Guard: `Incoming::decode` reads the form that is named.
#[tokio::test]
async fn listener_is_given_the_newest_form_of_all_three() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Weighed, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;

    nats.publish(&FirstWeighed::of("p", 1, 2, "kg")).await;
    nats.publish(&SecondWeighed::of("p", 2, 3000)).await;
    nats.publish(&Weighed::of("p", 3, 4000, "north")).await;

    let calls = listener.until_called(3).await;
    assert_eq!(
        listener.events(),
        [
            upcast(1, 2000),
            upcast(2, 3000),
            Weighed::of("p", 3, 4000, "north")
        ]
    );
    let named: Vec<_> = calls
        .iter()
        .map(|call| call.metadata.schema_version())
        .collect();
    assert_eq!(named, [Some(1), Some(2), Some(3)]);
    for (stored, number) in nats.stored("PARCELS", ">").await.iter().zip(1..) {
        let name = format!("urn:sgtickets:parcel.weighed:{number}");
        assert_eq!(stored.header("ce-dataschema"), Some(&*name));
    }
    assert!(nats.dead_letters().await.is_empty());
    replica.stop().await;
}

// Guard: what is held is stored as it came, with its headers.
#[tokio::test]
async fn forms_are_applied_in_the_order_of_their_versions_though_the_newest_comes_first() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let deposits = Teller::content();
    let replica = teller(&nats, &ledger, &deposits).await;

    nats.publish(&Weighed::of("p", 4, 5000, "north")).await;
    nats.publish(&SecondWeighed::of("p", 3, 4000)).await;
    nats.publish(&FirstWeighed::of("p", 2, 3, "kg")).await;
    nats.until_caught_up(PARCELS, READERS).await;
    assert_eq!(ledger.held().await, 3);
    nats.publish(&FirstWeighed::of("p", 1, 2000, "g")).await;

    until_entered(&ledger, &[2000, 3000, 4000, 5000]).await;
    assert_eq!(
        deposits.asked(),
        [
            upcast(1, 2000),
            upcast(2, 3000),
            upcast(3, 4000),
            Weighed::of("p", 4, 5000, "north")
        ]
    );
    assert_eq!(ledger.held().await, 0);
    replica.stop().await;
}

#[tokio::test]
async fn what_names_no_form_of_ours_is_read_as_the_newest() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Weighed, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    let newest = json!({ "parcel": "p", "version": 1, "grams": 5, "scale": "north" }).to_string();
    let first = json!({ "parcel": "p", "version": 1, "weight": 5, "unit": "g" }).to_string();

    nats.put(SUBJECT, newest.clone()).await;
    for name in ["https://example.com/weighed/1", "1", ""] {
        let headers = [("ce-dataschema", name)];
        nats.put_with(SUBJECT, &headers, newest.clone()).await;
    }
    nats.put(SUBJECT, first).await;

    let calls = listener.until_called(4).await;
    for call in calls {
        assert_eq!(call.event, Weighed::of("p", 1, 5, "north"));
        assert_eq!(call.metadata.schema_version(), None);
    }
    let letter = nats.next_dead_letter().await;
    assert_eq!(letter.kind, "undecodable");
    assert!(
        letter
            .reason
            .starts_with("payload is no `parcel:weighed` of form 3: missing field `grams`"),
        "{}",
        letter.reason
    );
    replica.stop().await;
}

// Guard: `schema_version` compares the event in the name with the channel.
#[tokio::test]
async fn name_of_ours_that_is_no_form_of_the_event_is_dead_lettered() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Weighed, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    let newest = json!({ "parcel": "p", "version": 1, "grams": 5, "scale": "north" }).to_string();

    for name in [
        "parcel.posted:1",
        "parcel.weighed:0",
        "parcel.weighed:three",
        "parcel.weighed",
        "",
    ] {
        let name = format!("urn:sgtickets:{name}");
        let headers = [("ce-dataschema", &*name)];
        nats.put_with(SUBJECT, &headers, newest.clone()).await;
        let letter = nats.next_dead_letter().await;
        assert_eq!((letter.kind.as_str(), letter.attempts), ("undecodable", 1));
        assert_eq!(
            letter.reason,
            format!("ce-dataschema says `{name}`, which is no form of `parcel:weighed`")
        );
    }
    assert!(listener.calls().is_empty());
    replica.stop().await;
}

/// What becomes of an old form that cannot become a new one, and of what is not even of the old form.
async fn is_dead_lettered_with_form_and_reason(nats: &TestNats) {
    nats.publish(&FirstWeighed::of("p", 1, 2, "stone")).await;
    let refused = nats.next_dead_letter().await;
    let headers = [("ce-dataschema", "urn:sgtickets:parcel.weighed:1")];
    let second = json!({ "parcel": "p", "version": 1, "grams": 5 }).to_string();
    nats.put_with(SUBJECT, &headers, second.clone()).await;
    let misread = nats.next_dead_letter().await;

    assert_eq!(refused.kind, "undecodable");
    assert_eq!(
        refused.reason,
        "`parcel:weighed` of form 1 could not be made one of form 3: unit `stone` is not known"
    );
    assert_eq!(misread.kind, "undecodable");
    assert!(
        misread
            .reason
            .starts_with("payload is no `parcel:weighed` of form 1: missing field `weight`"),
        "{}",
        misread.reason
    );
    assert_eq!(misread.payload, second);
    nats.until_caught_up(PARCELS, READERS).await;
}

#[tokio::test]
async fn past_that_cannot_become_the_present_is_dead_lettered_with_its_form_and_why() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Weighed, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;

    is_dead_lettered_with_form_and_reason(&nats).await;

    assert!(listener.calls().is_empty());
    replica.stop().await;
}

#[tokio::test]
async fn past_that_cannot_become_the_present_leaves_no_trace_in_the_database() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let deposits = Teller::content();
    let replica = teller(&nats, &ledger, &deposits).await;

    is_dead_lettered_with_form_and_reason(&nats).await;

    assert!(deposits.asked().is_empty());
    assert_eq!(ledger.held().await, 0);
    // The version is not used up.
    nats.publish(&SecondWeighed::of("p", 1, 7)).await;
    until_entered(&ledger, &[7]).await;
    replica.stop().await;
}

#[tokio::test]
async fn dead_letter_of_an_old_form_is_read_as_the_newest_when_it_is_redriven() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let deposits = Teller::with(move |_| {
        if is_mended.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Failure::reject("the books are closed"))
        }
    });
    let replica = teller(&nats, &ledger, &deposits).await;
    nats.publish(&FirstWeighed::of("p", 1, 2, "kg")).await;
    let letter = nats.next_dead_letter().await;
    assert_eq!(letter.kind, "rejected");
    assert_eq!(
        letter.headers["ce-dataschema"],
        ["urn:sgtickets:parcel.weighed:1"]
    );
    mended.store(true, Ordering::SeqCst);

    redrive(&nats, "readers", &letter, "1").await;

    until_entered(&ledger, &[2000]).await;
    assert_eq!(deposits.asked(), [upcast(1, 2000), upcast(1, 2000)]);
    replica.stop().await;
}

/// As if an hour had passed, in which replicas of the second release handed the message back.
async fn dead_letter_after_an_hour(
    set_up: impl FnOnce(Runner) -> Runner,
) -> (TestNats, Letter, Replica) {
    let nats = TestNats::start().await;
    nats.provision::<integration_tests::parcels::SecondParcels>()
        .await;
    nats.publish(&Weighed::of("p", 1, 5, "north")).await;
    nats.hand_back(PARCELS, READERS, HAND_BACKS).await;

    let replica = Replica::start(&nats, set_up).await;

    let letter = nats.next_dead_letter().await;
    assert_eq!(letter.kind, "unknown");
    assert_eq!(
        letter.reason,
        "`parcel:weighed` has form 3, and this process knows up to 2"
    );
    nats.until_caught_up(PARCELS, READERS).await;
    (nats, letter, replica)
}

// Guard: `hand_back_after` ends.
#[tokio::test]
async fn form_that_nobody_knew_for_an_hour_is_dead_lettered_and_read_by_the_next_release() {
    let listener = Scripted::<SecondWeighed, Reader>::acks();
    let (nats, letter, old) = dead_letter_after_an_hour(|runner| runner.listen(listener)).await;
    old.stop().await;
    let listener = Scripted::<Weighed, Reader>::acks();
    let next = Replica::of(&nats, &listener).await;

    redrive(&nats, "readers", &letter, "1").await;

    listener.until_called(1).await;
    assert_eq!(listener.events(), [Weighed::of("p", 1, 5, "north")]);
    next.stop().await;
}

#[tokio::test]
async fn form_that_nobody_knew_for_an_hour_leaves_no_trace_in_the_database() {
    let ledger = Ledger::new().await;
    let deposits = Teller::<SecondWeighed, EveryVersion>::content();
    let (nats, _, replica) =
        dead_letter_after_an_hour(|runner| runner.listen_in(ledger.database(), deposits.clone()))
            .await;

    assert!(deposits.asked().is_empty());
    nats.publish(&SecondWeighed::of("p", 1, 7)).await;
    until_entered(&ledger, &[7]).await;
    replica.stop().await;
}

#[tokio::test]
async fn listener_without_a_broker_is_given_the_newest_form_too() {
    let listener = Scripted::<Weighed, Reader>::acks();
    let newest = Weighed::of("p", 3, 4000, "north");

    assert_eq!(deliver(&listener, newest.clone()).await, Outcome::Acked);
    for past in [
        Envelope::of(&FirstWeighed::of("p", 1, 2, "kg")),
        Envelope::of(&SecondWeighed::of("p", 2, 3000)),
    ] {
        assert_eq!(past.deliver_to(&listener).await, Outcome::Acked);
    }

    assert_eq!(
        listener.events(),
        [newest, upcast(1, 2000), upcast(2, 3000)]
    );
}

#[tokio::test]
async fn listener_without_a_broker_never_sees_what_cannot_be_read() {
    let listener = Scripted::<SecondWeighed, Reader>::acks();
    let stone = FirstWeighed::of("p", 1, 2, "stone");
    for (envelope, expected) in [
        (
            Envelope::of(&stone),
            "`parcel:weighed` of form 1 could not be made one of form 2: unit `stone` is not known",
        ),
        (
            Envelope::of(&Weighed::of("p", 1, 5, "north")),
            "`parcel:weighed` has form 3, and this process knows up to 2",
        ),
        (
            Envelope::raw::<SecondWeighed>(stone.key(), "{}").schema_version(1),
            "payload is no `parcel:weighed` of form 1: missing field `parcel` at line 1 column 2",
        ),
    ] {
        let reason = expected.to_owned();
        let outcome = envelope.deliver_to(&listener).await;
        assert_eq!(outcome, Outcome::Undecodable { reason });
    }
    assert!(listener.calls().is_empty());
}
