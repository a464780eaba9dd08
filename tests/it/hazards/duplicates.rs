//! The same event again: it is applied once.

use integration_tests::notes::{ACCOUNTS, BANK, Deposited, NOTES, READERS, Written};
use integration_tests::{EveryVersion, Ledger, Replica, Teller, TestNats};

use super::bank::{deposit, headers_of, pairs, tellers_with, until_entered};

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
