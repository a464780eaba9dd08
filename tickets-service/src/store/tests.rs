use common::events::OrderId;
use common::http::Limit;
use common::testing::sample;
use futures::future::join_all;

use super::*;
use crate::fixture::Fixture;

/// Runs every statement that reads a whole ticket.
async fn use_a_ticket(fixture: &Fixture) {
    let id = fixture.ticket().await;
    let found = fixture.find(id).await;
    let page = Page {
        after: None,
        limit: Limit::default(),
    };
    assert!(!for_sale(&fixture.database, page).await.unwrap().is_empty());
    let offer = Offer {
        title: found.title,
        price: sample::cents(900),
    };
    let mut tx = fixture.database.begin().await.unwrap();
    let revised = revise(&mut tx, id, &found.seller, &offer).await.unwrap();
    assert!(matches!(revised, Revision::Revised(_)), "{revised:?}");
    let reserved = reserve(&mut tx, id, OrderId::new()).await.unwrap();
    assert!(matches!(reserved, Change::OfHolder(_)), "{reserved:?}");
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn old_replica_works_on_when_a_newer_one_has_added_a_column() {
    let fixture = Fixture::new().await;
    // On several connections: each has its own prepared statements.
    let use_several = || async { drop(join_all((0..4).map(|_| use_a_ticket(&fixture))).await) };
    use_several().await;

    let newer = fixture.replica().await;
    let column = &["ALTER TABLE tickets ADD COLUMN note TEXT"];
    newer.migrate("newer", column).await.unwrap();

    use_several().await;
}
