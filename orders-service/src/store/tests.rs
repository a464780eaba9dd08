use common::http::Limit;
use common::testing::sample;
use futures::future::join_all;

use super::*;
use crate::fixture::Fixture;

/// Runs every statement that reads a whole order.
async fn use_orders(fixture: &Fixture) {
    let (paid, given_up) = (fixture.order().await, fixture.order().await);
    let page = Page {
        after: None,
        limit: Limit::default(),
    };
    let of_bob = of_buyer(&fixture.database, &paid.buyer, page).await;
    assert!(!of_bob.unwrap().is_empty());
    let payment = sample::payment_created().id;
    let mut tx = fixture.database.begin().await.unwrap();
    for end in [
        Completion::Completed(Order {
            status: Status::Complete,
            version: paid.version.next(),
            ..paid.clone()
        }),
        Completion::AlreadyComplete,
    ] {
        let completed = complete(&mut tx, paid.id, payment, paid.price).await;
        assert_eq!(completed.unwrap(), end);
    }
    let cancelled = cancel(&mut tx, given_up.id, Reason::GivenUp).await.unwrap();
    assert!(
        matches!(cancelled, Cancellation::Cancelled(_)),
        "{cancelled:?}"
    );
    tx.commit().await.unwrap();
    assert_eq!(fixture.status(paid.id).await, Status::Complete);
}

#[tokio::test]
async fn old_replica_works_on_when_a_newer_one_has_added_a_column() {
    let fixture = Fixture::new().await;
    // On several connections: each has its own prepared statements.
    let use_several = || async { drop(join_all((0..4).map(|_| use_orders(&fixture))).await) };
    use_several().await;

    let newer = fixture.replica().await.database;
    let column = &["ALTER TABLE orders ADD COLUMN note TEXT"];
    newer.migrate("newer", column).await.unwrap();

    use_several().await;
}
