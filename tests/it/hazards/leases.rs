//! What a replica has is its own while it lives, and another's soon after it died.

use std::num::NonZeroUsize;
use std::time::Duration;

use integration_tests::notes::{NOTES, Notes, READERS, Written};
use integration_tests::{Act, Reader, Replica, Scripted, TestNats, long_enough_for};

use crate::sdk::groups::{behind_a_gate, lines, sorted};

/// Long enough for a busy machine to renew it, and short enough to wait for its end.
const LEASE: Duration = Duration::from_secs(1);

// Guard: `InHand::renew`, for what runs and for what waits.
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

    long_enough_for("every lease to run out ten times", 10 * LEASE).await;
    gate.open();

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(listener.events(), events);
    let calls = listener.calls();
    assert!(calls.iter().all(|call| call.metadata.attempt() == 1));
    assert!(idle.calls().is_empty(), "the other was given some");
    busy.stop().await;
    other.stop().await;
}

// Guard: nothing is acknowledged before its handler has returned.
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
