//! Services in other languages, with nothing but the generated files: they read what the Rust services publish, and
//! what they publish is applied.

use std::ffi::OsStr;

use common::Subjects::{OrderCreated, TicketCreated};
use common::events::{OrderId, TicketId};
use common::{ORDERS_SERVICE, TICKETS_SERVICE};
use integration_tests::foreign::{Foreign, generated};
use integration_tests::services::{System, User, until};
use serde_json::Value;

#[tokio::test]
async fn node_client_reads_and_pays_as_a_service_does() {
    if let Some(node) = Foreign::node().await {
        reads_and_pays(&node).await;
    }
}

#[tokio::test]
async fn python_client_reads_and_pays_as_a_service_does() {
    if let Some(python) = Foreign::python() {
        reads_and_pays(&python).await;
    }
}

/// Tickets and orders made over HTTP; the client stands where payments-service does not.
async fn reads_and_pays(client: &Foreign) {
    let system = without_payments().await;
    let (alice, bob) = (system.user("alice"), system.user("bob"));
    for envelope in ["cloud-event", "bare"] {
        let ticket = alice.sells("Käse und \"Brot\"", 4500).await;
        let order = bob.orders_once_known(ticket).await;
        until_status(&bob, order, "awaiting:payment").await;

        let said = pays(client, &system, ticket, order, envelope)
            .await
            .unwrap();

        assert_eq!(said["title"], "Käse und \"Brot\"");
        assert_eq!(said["paid"], 4500);
        until_status(&bob, order, "complete").await;
        until("the ticket is sold", async || {
            match bob.ticket(ticket).await["status"].clone() {
                Value::String(status) if status == "sold" => Ok(()),
                status => Err(status),
            }
        })
        .await;
    }
    assert_eq!(system.broker().dead_letters().await, Vec::<String>::new());
}

#[tokio::test]
async fn node_client_refuses_what_is_not_as_the_schema_says() {
    if let Some(node) = Foreign::node().await {
        refuses(&node, "must be >= 1").await;
    }
}

#[tokio::test]
async fn python_client_refuses_what_is_not_as_the_schema_says() {
    if let Some(python) = Foreign::python() {
        refuses(&python, "0 is less than the minimum of 1").await;
    }
}

/// A ticket for nothing, which no publisher of ours writes.
async fn refuses(client: &Foreign, why: &str) {
    let system = System::builder().start_server().await;
    let ticket: TicketId = "01998f3c-6e00-7a3b-8c55-0d4b6f1e2a01".parse().unwrap();
    let order: OrderId = "01998f3d-5860-7c1d-9b72-3e8a51c0f402".parse().unwrap();
    let free =
        format!(r#"{{"id":"{ticket}","version":1,"title":"Free","price":0,"userId":"eve"}}"#);
    let subject = format!("{TicketCreated}.{ticket}");
    system
        .broker()
        .publish_bytes(&subject, Some(TicketCreated), free)
        .await;

    let said = pays(client, &system, ticket, order, "bare")
        .await
        .unwrap_err();

    assert!(said.contains(why), "{said}");
    assert_eq!(system.broker().events(OrderCreated, "*").await.len(), 0);
}

/// What the client has paid, else what it complains of.
async fn pays(
    client: &Foreign,
    system: &System,
    ticket: TicketId,
    order: OrderId,
    envelope: &str,
) -> Result<Value, String> {
    let (generated, ticket, order) = (generated(), ticket.to_string(), order.to_string());
    let arguments = [
        OsStr::new(system.nats_url()),
        generated.as_os_str(),
        ticket.as_ref(),
        order.as_ref(),
        envelope.as_ref(),
    ];
    let done = client.run(&arguments).await;
    if done.status.success() {
        Ok(serde_json::from_str(&done.stdout).unwrap())
    } else {
        Err(done.stderr)
    }
}

async fn without_payments() -> System {
    let system = System::builder().start_server().await;
    system.start_service(TICKETS_SERVICE).await;
    system.start_service(ORDERS_SERVICE).await;
    system
}

async fn until_status(user: &User<'_>, order: OrderId, status: &str) {
    until(&format!("the order is `{status}`"), async || {
        let found = user.order(order).await["status"].clone();
        if found == status { Ok(()) } else { Err(found) }
    })
    .await;
}
