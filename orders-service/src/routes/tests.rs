use std::time::Duration;

use common::events::{
    ExpirationComplete, OrderCancelled, OrderCreated, OrderId, TicketId, TicketUpdated,
};
use common::testing::{Reply, Unsent, outbox, sample};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::order::{Status, Ticket};
use crate::store;

fn wish(ticket: TicketId) -> String {
    json!({ "ticketId": ticket }).to_string()
}

#[tokio::test]
async fn order_is_placed_published_and_scheduled_to_end() {
    let fixture = Fixture::new().await;
    let ticket = fixture.ticket().await;
    let before = Timestamp::now();

    let reply = fixture.user("bob").post("/api/orders", wish(ticket)).await;

    assert_eq!(reply.status, 201, "{}", reply.text);
    let id = reply.json["id"].as_str().unwrap();
    assert_eq!(reply.headers["location"], format!("/api/orders/{id}"));
    let expires_at: Timestamp = reply.json["expiresAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        reply.json,
        json!({
            "id": id,
            "version": 1,
            "status": "created",
            "userId": "bob",
            "expiresAt": expires_at,
            "ticket": { "id": ticket, "title": "Concert, row 12 seat 4", "price": 2500 },
        })
    );
    let ttl = expires_at - before;
    assert!(ttl.total(jiff::Unit::Second).unwrap() < 901.0, "{ttl}");

    let created = fixture.published::<OrderCreated>().await;
    assert_eq!(created.len(), 1);
    assert_eq!(created[0].id.to_string(), id);
    assert_eq!(created[0].expires_at, expires_at);
    assert_eq!(created[0].ticket.price, sample::cents(2500));
    let unsent = outbox(&fixture.database).await;
    let scheduled = unsent.iter().find(|unsent| unsent.due.is_some());
    let scheduled = scheduled.expect("an event that is due later");
    let event: ExpirationComplete = scheduled.event().unwrap();
    assert_eq!(event.order_id, created[0].id);
    let due = scheduled.due.unwrap();
    assert!(due >= expires_at, "{due} is before {expires_at}");
    assert!(due.duration_since(expires_at) < SignedDuration::from_secs(1));
}

#[tokio::test]
async fn ticket_is_ordered_once() {
    let fixture = Fixture::new().await;
    let ticket = fixture.ticket().await;
    fixture.order_of(ticket).await;

    let reply = fixture
        .user("carol")
        .post("/api/orders", wish(ticket))
        .await;

    reply.assert_refused(409, None);
    assert_eq!(fixture.published::<OrderCreated>().await.len(), 1);
}

#[tokio::test]
async fn of_many_buyers_at_two_replicas_one_gets_the_ticket() {
    let fixture = Fixture::new().await;
    let replica = fixture.replica().await;
    let ticket = fixture.ticket().await;

    let all = (0..20).map(async |number| {
        let service = if number % 2 == 0 { &fixture } else { &replica };
        let buyer = service.user(&format!("buyer-{number}"));
        buyer.post("/api/orders", wish(ticket)).await
    });
    let replies = futures::future::join_all(all).await;

    let (placed, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert_eq!(placed.len(), 1);
    for reply in refused {
        reply.assert_refused(409, None);
    }
    assert_eq!(fixture.published::<OrderCreated>().await.len(), 1);
}

#[tokio::test]
async fn ticket_that_another_has_reserved_is_not_ordered() {
    let fixture = Fixture::new().await;
    let ticket = fixture.ticket().await;
    fixture.hold(ticket, Some(OrderId::new())).await;

    let reply = fixture.user("bob").post("/api/orders", wish(ticket)).await;

    reply.assert_refused(409, None);
}

#[tokio::test]
async fn ticket_that_was_given_up_is_ordered_again_at_once() {
    let fixture = Fixture::new().await;
    let ticket = fixture.ticket().await;
    let first = fixture.order_of(ticket).await;
    fixture.hold(ticket, Some(first.id)).await;
    let path = format!("/api/orders/{}", first.id);
    assert_eq!(fixture.user("bob").delete(&path).await.status, 204);

    let second = fixture.order_of(ticket).await;

    assert_ne!(first.id, second.id);
}

#[tokio::test]
async fn price_stays_as_it_was_ordered() {
    let fixture = Fixture::new().await;
    let order = fixture.order().await;
    let dearer = TicketUpdated {
        id: order.ticket,
        price: sample::cents(9900),
        order_id: None,
        ..sample::ticket_updated()
    };
    fixture.keep(&Ticket::from(dearer)).await;

    let path = format!("/api/orders/{}", order.id);
    let reply = fixture.user("bob").get(&path).await;

    assert_eq!(reply.json["ticket"]["price"], 2500);
}

#[tokio::test]
async fn buyer_sees_own_orders_and_no_others() {
    let fixture = Fixture::new().await;
    let (first, second) = (fixture.order().await, fixture.order().await);
    let bob = fixture.user("bob");
    let carol = fixture.user("carol");
    let path = format!("/api/orders/{}", first.id);

    assert_eq!(bob.get(&path).await.json["status"], "created");
    carol.get(&path).await.assert_refused(403, None);
    fixture.nobody.get(&path).await.assert_refused(401, None);
    let page = bob.get("/api/orders?limit=1").await;
    let next = bob
        .get(&format!("/api/orders?limit=1&after={}", first.id))
        .await;
    assert_eq!(ids(&page), [first.id.to_string()]);
    assert_eq!(ids(&next), [second.id.to_string()]);
    assert_eq!(carol.get("/api/orders").await.json, json!([]));
    fixture
        .nobody
        .get("/api/orders")
        .await
        .assert_refused(401, None);
}

fn ids(reply: &Reply) -> Vec<&str> {
    let items = reply.json.as_array().expect("a list").iter();
    items.filter_map(|item| item["id"].as_str()).collect()
}

#[tokio::test]
async fn order_is_given_up_once_however_often_it_is_asked() {
    let fixture = Fixture::new().await;
    let order = fixture.order().await;
    let path = format!("/api/orders/{}", order.id);
    let bob = fixture.user("bob");

    for _ in 0..3 {
        assert_eq!(bob.delete(&path).await.status, 204);
    }

    assert_eq!(fixture.status(order.id).await, Status::Cancelled);
    let cancelled = fixture.published::<OrderCancelled>().await;
    assert_eq!(cancelled.len(), 1);
    assert_eq!(cancelled[0].version, sample::version(2));
    assert_eq!(cancelled[0].ticket.id, order.ticket);
}

#[tokio::test]
async fn order_is_not_given_up_by_another_or_when_it_is_paid() {
    let fixture = Fixture::new().await;
    let order = fixture.order().await;
    let path = format!("/api/orders/{}", order.id);

    fixture.nobody.delete(&path).await.assert_refused(401, None);
    let carol = fixture.user("carol").delete(&path).await;
    carol.assert_refused(403, None);
    let mut tx = fixture.database.begin().await.unwrap();
    let payment = sample::payment_created().id;
    store::complete(&mut tx, order.id, payment, order.price)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let paid = fixture.user("bob").delete(&path).await;
    paid.assert_refused(409, None);

    assert_eq!(fixture.status(order.id).await, Status::Complete);
    assert_eq!(fixture.published::<OrderCancelled>().await, []);
}

#[tokio::test]
async fn wish_that_is_not_acceptable_is_refused() {
    let fixture = Fixture::new().await;
    let bob = fixture.user("bob");
    let field = Some("ticketId");
    for (body, field) in [
        (json!({}), field),
        (json!({ "ticketId": null }), field),
        (json!({ "ticketId": 7 }), field),
        (json!({ "ticketId": "7" }), field),
        (
            json!({ "ticketId": "0198c0de-0000-4000-8000-00000000000a" }),
            field,
        ),
        (json!(["0198c0de-0000-7000-8000-00000000000a"]), None),
        (Value::Null, None),
    ] {
        let reply = bob.post("/api/orders", body.to_string()).await;
        reply.assert_refused(400, field);
    }
    for body in ["", "{", "\u{0}"] {
        bob.post("/api/orders", body)
            .await
            .assert_refused(400, None);
    }
    let huge = json!({ "ticketId": "x".repeat(70_000) }).to_string();
    bob.post("/api/orders", huge)
        .await
        .assert_refused(413, None);
    let unknown = bob.post("/api/orders", wish(TicketId::new())).await;
    unknown.assert_refused(404, None);
    assert!(outbox(&fixture.database).await.is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let fixture = Fixture::new().await;
    let bob = fixture.user("bob");
    let unknown = format!("/api/orders/{}", OrderId::new());

    bob.get(&unknown).await.assert_refused(404, None);
    bob.delete(&unknown).await.assert_refused(404, None);
    bob.get("/api/nothing").await.assert_refused(404, None);
    bob.put("/api/orders", "{}").await.assert_refused(405, None);
    bob.get("/api/orders/7")
        .await
        .assert_refused(400, Some("id"));
    bob.delete("/api/orders/7")
        .await
        .assert_refused(400, Some("id"));
    let page = bob.get("/api/orders?limit=101").await;
    page.assert_refused(400, Some("limit"));
}

#[tokio::test]
async fn token_is_looked_at_before_anything_else() {
    let fixture = Fixture::new().await;
    let expired = fixture.key.mint(&sample::user("bob"), Duration::ZERO);
    let late = fixture.nobody.with_token(&expired);

    late.post("/api/orders", "{")
        .await
        .assert_refused(401, None);
    late.get("/api/orders/7").await.assert_refused(401, None);
    late.delete("/api/orders/7").await.assert_refused(401, None);
    late.get("/api/orders?limit=x")
        .await
        .assert_refused(401, None);
}

#[tokio::test]
async fn refused_order_leaves_no_schedule() {
    let fixture = Fixture::new().await;
    let ticket = fixture.ticket().await;
    fixture.order_of(ticket).await;
    fixture
        .user("carol")
        .post("/api/orders", wish(ticket))
        .await;

    let unsent = outbox(&fixture.database).await;

    let schedules = unsent
        .iter()
        .filter_map(Unsent::event::<ExpirationComplete>);
    assert_eq!(schedules.count(), 1);
}
