//! What becomes of an event by what its handler says.

use std::time::Duration;

use common::Event as _;
use integration_tests::notes::{NOTES, READERS, Written};
use integration_tests::{Reader, Replica, Scripted, TestNats, attempts};

#[tokio::test]
async fn acknowledged_event_is_settled_and_does_not_come_again() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;

    let stored = nats.publish(&Written::on("p", 1)).await;

    nats.until_caught_up(NOTES, READERS).await;
    let calls = listener.calls();
    assert_eq!(listener.events(), [Written::on("p", 1)]);
    assert_eq!(calls[0].metadata.attempt(), 1);
    assert_eq!(calls[0].metadata.sequence(), stored.sequence);
    assert_eq!(calls[0].metadata.source(), "/writers");
    assert_eq!(calls[0].metadata.key(), &Written::on("p", 1).key());
    replica.stop().await;
}

#[tokio::test]
async fn failed_event_comes_again_after_growing_delays_until_it_succeeds() {
    let nats = TestNats::start().await;
    let listener = Scripted::<Written, Reader>::fails_first(3);
    let replica = Replica::start(&nats, |runner| {
        runner.listen(listener.clone()).retry(attempts(4))
    })
    .await;

    nats.publish(&Written::on("p", 1)).await;

    nats.until_caught_up(NOTES, READERS).await;
    let calls = listener.calls();
    let numbers: Vec<_> = calls.iter().map(|call| call.metadata.attempt()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    for (pair, delay) in calls.windows(2).zip([10, 20, 40]) {
        let waited = pair[1].began - pair[0].ended.unwrap();
        assert!(
            waited >= Duration::from_millis(delay),
            "{waited:?} of {delay} ms"
        );
    }
    assert!(nats.dead_letters().await.is_empty());
    replica.stop().await;
}
