//! Who is given which event: replicas of a group share, groups do not, and what is held is held on to.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use integration_tests::notes::{ARCHIVE, Erased, NOTES, NextWritten, Notes, READERS, Written};
use integration_tests::{
    Act, Archivist, Gate, Member, Reader, Replica, Scripted, TestNats, attempts, long_enough_for,
    until,
};

/// Long enough for a busy machine to renew it, and short enough to wait for its end.
const LEASE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn replicas_share_what_every_group_is_given() {
    let nats = TestNats::start().await;
    let reader = Scripted::<Written, Reader>::acks();
    let twin = reader.twin();
    let archivist = Scripted::<Written, Archivist>::acks();
    let replicas = [
        Replica::of(&nats, &reader).await,
        Replica::of(&nats, &twin).await,
        Replica::of(&nats, &archivist).await,
    ];

    let events = lines(20, 10);
    for result in nats.publisher().publish_all(&events).await {
        result.unwrap();
    }

    nats.until_caught_up(NOTES, READERS).await;
    nats.until_caught_up(NOTES, ARCHIVE).await;
    let (one, other) = (reader.events(), twin.events());
    assert!(
        !one.is_empty() && !other.is_empty(),
        "one replica did it all"
    );
    assert_eq!(sorted([one, other].concat()), sorted(events.clone()));
    assert_eq!(sorted(archivist.events()), sorted(events));
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test]
async fn group_that_comes_later_is_given_what_was_before() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let events = lines(3, 3);
    for event in &events {
        nats.publish(event).await;
    }

    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(sorted(listener.events()), sorted(events));
    replica.stop().await;
}

#[tokio::test]
async fn events_of_a_page_come_one_after_the_other_and_those_of_others_meanwhile() {
    let nats = TestNats::start().await;
    let (gate, listener) = behind_a_gate(|written| written.page == "a");
    let replica = Replica::of(&nats, &listener).await;

    for line in 1..=5 {
        nats.publish(&Written::on("a", line)).await;
        nats.publish(&Written::on("b", line)).await;
    }
    until("the other page is read", async || {
        let read = of_page("b", &listener).len();
        if read == 5 { Ok(()) } else { Err(read) }
    })
    .await;

    let first_only = [Written::on("a", 1)];
    assert_eq!(of_page("a", &listener), first_only, "two of a page at once");
    gate.open();
    nats.until_caught_up(NOTES, READERS).await;
    for page in ["a", "b"] {
        let in_order: Vec<_> = (1..=5).map(|line| Written::on(page, line)).collect();
        assert_eq!(of_page(page, &listener), in_order);
    }
    replica.stop().await;
}

#[tokio::test]
async fn events_of_a_page_come_in_order_across_channels() {
    let nats = TestNats::start().await;
    let gate = Gate::shut();
    let written = Scripted::<NextWritten, Reader>::always(Act::AckBehind(gate.clone()));
    let erased = Scripted::<Erased, Reader>::acks();
    let replica = Replica::start(&nats, |runner| {
        runner.listen(written.clone()).listen(erased.clone())
    })
    .await;
    let erase = |page: &str| Erased {
        page: page.to_owned(),
    };

    nats.publish(&Written::on("a", 1)).await;
    nats.publish(&erase("a")).await;
    nats.publish(&erase("b")).await;
    erased.until_called(1).await;

    assert_eq!(
        erased.events(),
        [erase("b")],
        "erased before it was written"
    );
    gate.open();
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(written.calls().len(), 1);
    assert_eq!(erased.events(), [erase("b"), erase("a")]);
    replica.stop().await;
}

#[tokio::test]
async fn no_more_is_handled_at_once_than_was_said_and_little_is_fetched_ahead() {
    let nats = TestNats::start().await;
    let gate = Gate::shut();
    let listener = Scripted::<Written, Reader>::always(Act::AckBehind(gate.clone()));
    nats.provision::<Notes>().await;
    for event in lines(30, 1) {
        nats.publish(&event).await;
    }
    let three = NonZeroUsize::new(3).unwrap();
    let replica = Replica::start(&nats, |runner| {
        runner.listen(listener.clone()).concurrency(three)
    })
    .await;

    listener.until_called(3).await;
    long_enough_for("a fourth to begin", Duration::from_millis(200)).await;

    assert_eq!(listener.calls().len(), 3);
    let state = nats.consumer(NOTES, READERS).await.unwrap();
    assert_eq!(state.unsettled, 6, "others could have handled them");
    gate.open();
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(listener.calls().len(), 30);
    replica.stop().await;
}

#[tokio::test]
async fn thousand_events_behind_a_slow_handler_stay_with_their_replica() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    nats.set_lease(NOTES, READERS, LEASE).await;
    let (gate, listener) = behind_a_gate(|written| written.line == 0);
    let idle = listener.twin();
    let events = lines(1, 1001);
    for result in nats.publisher().publish_all(&events).await {
        result.unwrap();
    }
    let many = NonZeroUsize::new(512).unwrap();
    let busy = Replica::start(&nats, |runner| {
        runner.listen(listener.clone()).concurrency(many)
    })
    .await;
    nats.until_consumer(NOTES, READERS, "has given away all", |state| {
        state.unsettled == 1001
    })
    .await;
    let other = Replica::of(&nats, &idle).await;

    long_enough_for("every lease to run out", 3 * LEASE).await;
    gate.open();

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(listener.events(), events);
    let calls = listener.calls();
    assert!(calls.iter().all(|call| call.metadata.attempt() == 1));
    assert!(idle.calls().is_empty(), "the other was given some");
    busy.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn what_a_vanished_replica_had_comes_to_another_when_the_lease_is_over() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    nats.set_lease(NOTES, READERS, LEASE).await;
    let hangs = Scripted::<Written, Reader>::always(Act::Hang);
    let doomed = Replica::of(&nats, &hangs).await;
    let events = lines(5, 2);
    for event in &events {
        nats.publish(event).await;
    }
    hangs.until_called(5).await;
    nats.until_consumer(NOTES, READERS, "has given away all", |state| {
        state.unsettled == 10
    })
    .await;
    let listener = Scripted::<Written, Reader>::acks();
    let heir = Replica::of(&nats, &listener).await;
    assert!(listener.calls().is_empty(), "what is held was given away");

    doomed.vanish();

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(sorted(listener.events()), sorted(events));
    let attempts = listener
        .calls()
        .into_iter()
        .map(|call| call.metadata.attempt());
    assert_eq!(attempts.max(), Some(2));
    heir.stop().await;
}

#[tokio::test]
async fn shutdown_finishes_what_runs_and_hands_over_what_waits() {
    let nats = TestNats::start().await;
    let (gate, listener) = behind_a_gate(|_| true);
    let one = Replica::start(&nats, |runner| {
        runner.listen(listener.clone()).retry(attempts(1))
    })
    .await;
    for line in 1..=10 {
        nats.publish(&Written::on("a", line)).await;
    }
    listener.until_called(1).await;
    nats.until_consumer(NOTES, READERS, "has given away all", |state| {
        state.unsettled == 10
    })
    .await;
    let twin = Scripted::<Written, Reader>::acks();
    // What was handed over was tried by nobody, and one attempt is left for it.
    let other = Replica::start(&nats, |runner| {
        runner.listen(twin.clone()).retry(attempts(1))
    })
    .await;

    let began = Instant::now();
    one.tell_to_stop();
    twin.until_called(9).await;
    gate.open();
    one.stop().await;

    let took = began.elapsed();
    let half_a_lease = Duration::from_secs(5);
    assert!(took < half_a_lease, "left to their leases: {took:?}");
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(listener.events(), [Written::on("a", 1)]);
    let rest: Vec<_> = (2..=10).map(|line| Written::on("a", line)).collect();
    assert_eq!(sorted(twin.events()), rest);
    assert!(nats.dead_letters().await.is_empty());
    other.stop().await;
}

#[tokio::test]
async fn handler_that_does_not_finish_in_time_is_stopped_and_its_event_comes_again() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    nats.set_lease(NOTES, READERS, LEASE).await;
    let hangs = Scripted::<Written, Reader>::always(Act::Hang);
    let drain = Duration::from_millis(300);
    let one = Replica::start(&nats, |runner| {
        runner.listen(hangs.clone()).drain_within(drain)
    })
    .await;
    nats.publish(&Written::on("a", 1)).await;
    hangs.until_called(1).await;

    let began = Instant::now();
    one.stop().await;

    let took = began.elapsed();
    assert!(
        took >= drain && took < drain + Duration::from_secs(4),
        "{took:?}"
    );
    let listener = Scripted::<Written, Reader>::acks();
    let other = Replica::of(&nats, &listener).await;
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(listener.events(), [Written::on("a", 1)]);
    other.stop().await;
}

#[tokio::test]
async fn rolling_restart_under_load_handles_every_event_once() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let listener = Scripted::<Written, Reader>::acks();
    let mut replica = Replica::of(&nats, &listener).await;
    let events = lines(50, 40);
    let so_far = Arc::new(AtomicUsize::new(0));
    let publishing = tokio::spawn({
        let (publisher, events) = (nats.publisher(), events.clone());
        let counted = Arc::clone(&so_far);
        async move {
            for chunk in events.chunks(50) {
                for result in publisher.publish_all(chunk).await {
                    result.unwrap();
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });

    for round in 1..=5 {
        let next = Replica::of(&nats, &listener).await;
        until("there is some load", async || {
            let load = so_far.load(Ordering::Relaxed);
            if load >= round * 200 {
                Ok(())
            } else {
                Err(load)
            }
        })
        .await;
        replica.stop().await;
        replica = next;
    }

    publishing.await.unwrap();
    nats.until_caught_up(NOTES, READERS).await;
    replica.stop().await;
    assert_eq!(sorted(listener.events()), sorted(events));
}

#[tokio::test]
async fn group_that_is_stuck_holds_up_no_other() {
    let nats = TestNats::start().await;
    let stuck = Scripted::<Written, Reader>::always(Act::Unavailable("no glasses"));
    let archivist = Scripted::<Written, Archivist>::acks();
    let replica = Replica::start(&nats, |runner| {
        runner.listen(stuck.clone()).listen(archivist.clone())
    })
    .await;

    let events = lines(10, 10);
    for result in nats.publisher().publish_all(&events).await {
        result.unwrap();
    }

    nats.until_caught_up(NOTES, ARCHIVE).await;
    assert_eq!(sorted(archivist.events()), sorted(events));
    replica.until_not_ready("no glasses").await;
    replica.stop().await;
}

/// A listener that takes events, and with those of some waits until the gate is opened.
fn behind_a_gate(
    waits: impl Fn(&Written) -> bool + Send + Sync + 'static,
) -> (Gate, Scripted<Written, Reader>) {
    let gate = Gate::shut();
    let shut = gate.clone();
    let listener = Scripted::new(move |event, _| {
        if waits(event) {
            Act::AckBehind(shut.clone())
        } else {
            Act::Ack
        }
    });
    (gate, listener)
}

/// So many lines on so many pages each.
fn lines(pages: u32, lines: u32) -> Vec<Written> {
    let all = (0..lines).flat_map(|line| (0..pages).map(move |page| (page, line)));
    all.map(|(page, line)| Written::on(&format!("p{page}"), line))
        .collect()
}

fn of_page<M: Member>(page: &str, listener: &Scripted<Written, M>) -> Vec<Written> {
    let mut events = listener.events();
    events.retain(|written| written.page == page);
    events
}

fn sorted(mut events: Vec<Written>) -> Vec<Written> {
    events.sort_by(|one, other| (&one.page, one.line).cmp(&(&other.page, other.line)));
    events
}
