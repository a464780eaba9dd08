use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use common::Backend;
use common::events::TicketId;
use common::http::{JwtKey, MAX_BODY_BYTES};
use common::testing::{Reply, sample};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::ticket::State;

const OFFER: &str = r#"{"title":" Concert, row 12 ","price":2500}"#;

#[tokio::test]
async fn ticket_is_put_on_sale_and_published() {
    let fixture = Fixture::new().await;

    let reply = fixture.user("alice").post("/api/tickets", OFFER).await;

    assert_eq!(reply.status, 201, "{}", reply.text);
    let id = reply.json["id"].as_str().unwrap();
    assert_eq!(reply.headers["location"], format!("/api/tickets/{id}"));
    assert_eq!(
        reply.json,
        json!({
            "id": id,
            "version": 1,
            "title": "Concert, row 12",
            "price": 2500,
            "userId": "alice",
            "status": "for sale",
        })
    );
    let published = fixture.created().await;
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].id.to_string(), id);
    assert_eq!(published[0].title.as_str(), "Concert, row 12");
    assert_eq!(published[0].price, sample::cents(2500));
    assert_eq!(published[0].user_id, sample::user("alice"));
}

#[tokio::test]
async fn token_is_taken_from_the_cookie_too() {
    let fixture = Fixture::new().await;
    let token = fixture
        .key
        .mint(&sample::user("bob"), Duration::from_mins(1));
    let request = Request::post("/api/tickets")
        .header("content-type", "application/json; charset=utf-8")
        .header("cookie", format!("theme=dark; session={token}"))
        .body(Body::from(OFFER));

    let reply = fixture.nobody.send(request.unwrap()).await;

    assert_eq!(reply.status, 201, "{}", reply.text);
    assert_eq!(reply.json["userId"], "bob");
}

#[tokio::test]
async fn anybody_sees_a_ticket_and_its_state() {
    let fixture = Fixture::new().await;
    let (ticket, order) = fixture.reserved_ticket().await;

    let reply = fixture.nobody.get(&format!("/api/tickets/{ticket}")).await;

    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.json["status"], "reserved");
    assert_eq!(reply.json["orderId"], order.to_string());
}

#[tokio::test]
async fn list_has_tickets_for_sale_page_by_page() {
    let fixture = Fixture::new().await;
    fixture.reserved_ticket().await;
    let (first, second, third) = (
        fixture.ticket().await,
        fixture.ticket().await,
        fixture.ticket().await,
    );

    let page = fixture.nobody.get("/api/tickets?limit=2").await;
    let next = fixture
        .nobody
        .get(&format!("/api/tickets?limit=2&after={second}"))
        .await;
    let all = fixture.nobody.get("/api/tickets").await;

    assert_eq!(ids(&page), [first.to_string(), second.to_string()]);
    assert_eq!(ids(&next), [third.to_string()]);
    assert_eq!(ids(&all).len(), 3);
}

fn ids(reply: &Reply) -> Vec<&str> {
    let items = reply.json.as_array().expect("a list").iter();
    items.filter_map(|item| item["id"].as_str()).collect()
}

#[tokio::test]
async fn seller_changes_a_ticket_and_the_change_is_published() {
    let fixture = Fixture::new().await;
    let ticket = fixture.ticket().await;
    let offer = json!({ "title": "Balcony", "price": 900 }).to_string();

    let reply = fixture
        .user("alice")
        .put(&format!("/api/tickets/{ticket}"), offer)
        .await;

    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.json["title"], "Balcony");
    assert_eq!(reply.json["version"], 2);
    let updates = fixture.updates(ticket).await;
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0].version, sample::version(2));
    assert_eq!(updates[0].price, sample::cents(900));
    assert_eq!(updates[0].order_id, None);
}

#[tokio::test]
async fn change_is_refused_and_nothing_is_published() {
    let fixture = Fixture::new().await;
    let ticket = fixture.ticket().await;
    let (reserved, _) = fixture.reserved_ticket().await;
    let path = |id: TicketId| format!("/api/tickets/{id}");
    let (alice, bob) = (fixture.user("alice"), fixture.user("bob"));

    fixture
        .nobody
        .put(&path(ticket), OFFER)
        .await
        .assert_refused(401, None);
    bob.put(&path(ticket), OFFER)
        .await
        .assert_refused(403, None);
    bob.put(&path(reserved), OFFER)
        .await
        .assert_refused(403, None);
    alice
        .put(&path(reserved), OFFER)
        .await
        .assert_refused(409, None);
    alice
        .put(&path(TicketId::new()), OFFER)
        .await
        .assert_refused(404, None);

    assert_eq!(fixture.updates(ticket).await, []);
    assert_eq!(fixture.find(ticket).await.version, sample::version(1));
    assert_eq!(fixture.state(ticket).await, State::ForSale);
}

#[tokio::test]
async fn request_is_refused_in_the_order_of_the_statuses() {
    let fixture = Fixture::new().await;
    let (reserved, _) = fixture.reserved_ticket().await;
    let bob = fixture.user("bob");

    let nobody = fixture.nobody.put("/api/tickets/1", "{").await;
    nobody.assert_refused(401, None);
    let malformed_id = bob.put("/api/tickets/1", "{").await;
    malformed_id.assert_refused(400, Some("id"));
    let malformed_body = bob
        .put(&format!("/api/tickets/{}", TicketId::new()), "{")
        .await;
    malformed_body.assert_refused(400, None);
    let not_yours = bob.put(&format!("/api/tickets/{reserved}"), OFFER).await;
    not_yours.assert_refused(403, None);
}

#[tokio::test]
async fn offer_that_is_not_acceptable_is_refused_by_its_field() {
    let fixture = Fixture::new().await;
    let alice = fixture.user("alice");
    let too_long = "x".repeat(201);
    let title = Some("title");
    let price = Some("price");
    for (offer, field) in [
        (json!({ "title": "", "price": 1 }), title),
        (json!({ "title": " \t\n ", "price": 1 }), title),
        (json!({ "title": too_long, "price": 1 }), title),
        (json!({ "title": "a\u{0}b", "price": 1 }), title),
        (json!({ "title": "a\nb", "price": 1 }), title),
        (json!({ "title": 7, "price": 1 }), title),
        (json!({ "title": null, "price": 1 }), title),
        (json!({ "price": 1 }), title),
        (json!({ "title": "x" }), price),
        (json!({ "title": "x", "price": 0 }), price),
        (json!({ "title": "x", "price": -1 }), price),
        (json!({ "title": "x", "price": 2.5 }), price),
        (json!({ "title": "x", "price": "25" }), price),
        (json!({ "title": "x", "price": null }), price),
        (json!({ "title": "x", "price": u64::MAX }), price),
        (json!(["x", 1]), None),
        (json!("x"), None),
        (Value::Null, None),
    ] {
        let reply = alice.post("/api/tickets", offer.to_string()).await;
        reply.assert_refused(400, field);
    }
    assert_eq!(fixture.created().await, []);
}

#[tokio::test]
async fn body_that_cannot_be_read_is_refused() {
    let fixture = Fixture::new().await;
    let alice = fixture.user("alice");

    for body in ["", "{", "{]", "nonsense", r#"{"title":"x","price":1}}"#] {
        alice
            .post("/api/tickets", body)
            .await
            .assert_refused(400, None);
    }
    for length in [MAX_BODY_BYTES, 10 * 1024 * 1024] {
        let huge = json!({ "title": "x".repeat(length), "price": 1 }).to_string();
        alice
            .post("/api/tickets", huge)
            .await
            .assert_refused(413, None);
    }
    let form = Request::post("/api/tickets")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(OFFER));
    alice.send(form.unwrap()).await.assert_refused(415, None);
}

#[tokio::test]
async fn longest_title_of_any_letters_is_accepted() {
    let fixture = Fixture::new().await;
    let offer = json!({ "title": "ß🎫".repeat(100), "price": 9_007_199_254_740_991_u64 });

    let reply = fixture
        .user("alice")
        .post("/api/tickets", offer.to_string())
        .await;

    assert_eq!(reply.status, 201, "{}", reply.text);
}

#[tokio::test]
async fn token_that_proves_nothing_is_refused() {
    let fixture = Fixture::new().await;
    let alice = sample::user("alice");
    let other = JwtKey::new(&"o".repeat(32)).unwrap();
    let (signed, _) = {
        let token = fixture.key.mint(&alice, Duration::from_mins(1));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        (signed.to_owned(), signature.to_owned())
    };
    for token in [
        fixture.key.mint(&alice, Duration::ZERO),
        other.mint(&alice, Duration::from_mins(1)),
        format!("{signed}."),
        // {"alg":"none"} and {"sub":"alice","exp":32503680000}
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6MzI1MDM2ODAwMDB9.".to_owned(),
        "nonsense".to_owned(),
    ] {
        let reply = fixture
            .nobody
            .with_token(&token)
            .post("/api/tickets", OFFER)
            .await;
        reply.assert_refused(401, None);
        assert_eq!(reply.headers["www-authenticate"], "Bearer");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let fixture = Fixture::new().await;
    let nobody = &fixture.nobody;

    nobody.get("/").await.assert_refused(404, None);
    nobody.get("/api/ticket").await.assert_refused(404, None);
    let unknown = nobody
        .get(&format!("/api/tickets/{}", TicketId::new()))
        .await;
    unknown.assert_refused(404, None);
    let method = nobody.delete("/api/tickets").await;
    method.assert_refused(405, None);
    assert!(method.headers.contains_key("allow"), "{:?}", method.headers);
    for id in ["1", "%FF", "0198c0de-0000-4000-8000-00000000000a", "%00"] {
        let reply = nobody.get(&format!("/api/tickets/{id}")).await;
        reply.assert_refused(400, Some("id"));
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("after=1", "after"),
    ] {
        let reply = nobody.get(&format!("/api/tickets?{query}")).await;
        reply.assert_refused(400, Some(field));
    }
}

#[tokio::test]
async fn process_says_how_it_is() {
    let fixture = Fixture::new().await;

    assert_eq!(fixture.nobody.get("/healthz").await.status, 200);
    let ready = fixture.nobody.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json, json!({ "ready": true, "troubles": {} }));
}

#[tokio::test]
async fn database_that_is_out_of_reach_is_said_without_telling_why() {
    let fixture = Fixture::new().await;
    let writer = if fixture.database.backend() == Backend::Sqlite {
        // There is one writer; whoever waits for it in vain is told to try again.
        let writer = fixture.database.begin().await.unwrap();
        tokio::time::pause();
        Some(writer)
    } else {
        fixture.database.reader().close().await;
        None
    };

    let reply = fixture.user("alice").post("/api/tickets", OFFER).await;

    reply.assert_refused(503, None);
    assert_eq!(reply.headers["retry-after"], "1");
    assert!(!reply.text.contains("pool"), "{}", reply.text);
    drop(writer);
}
