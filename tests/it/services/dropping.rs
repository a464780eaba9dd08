//! A version of an aggregate that is given up for good, and those that waited behind it.

use common::ORDERS_SERVICE;
use common::events::TicketUpdated;
use common::testing::sample;
use integration_tests::services::{System, until};
use serde_json::Value;

use crate::program::sgt;

#[tokio::test]
async fn version_that_nobody_can_read_is_dropped_and_passed_over() {
    let system = System::start().await;
    let environment = vec![("NATS_URL", system.nats_url().to_owned())];
    let alice = system.user("alice");
    let ticket = system.ticket_on_sale().await;
    // The second version of the ticket is none, and the third comes after it.
    let subject = format!("ticket:updated.{ticket}");
    let shown = alice.ticket(ticket).await;
    system.broker().publish_bytes(&subject, None, "{}").await;
    let third = TicketUpdated {
        id: ticket,
        version: sample::version(3),
        title: sample::title("Concert, at last"),
        price: sample::cents(2600),
        user_id: sample::user(shown["userId"].as_str().unwrap()),
        order_id: None,
    };
    system.broker().publish(&third).await;
    let letter = until("it is dead", async || {
        let list = [
            "dead-letters",
            "list",
            "--json",
            "--group",
            "orders-service",
        ];
        let groups: Value = sgt(&environment, &list).await.json();
        groups[0]["sequences"][0].as_u64().ok_or(groups)
    })
    .await
    .to_string();
    let database = system.database_url(ORDERS_SERVICE);
    let price = format!("SELECT CAST(price AS TEXT) FROM orders.tickets WHERE id = '{ticket}'");
    assert_eq!(system.books().ask(&price).await, ["2500"]);

    let args = ["dead-letters", "drop", &letter, "--skip", &database];
    let said = sgt(&environment, &args).await.failed();
    assert!(said.contains("name it with --as-version"), "{said}");
    let wrong = [&args[..], &["--as-version", "3"]].concat();
    let said = sgt(&environment, &wrong).await.failed();
    assert!(said.contains("does not wait for version 3"), "{said}");
    let missing = [
        "dead-letters",
        "drop",
        &letter,
        "--skip",
        "sqlite://nowhere.db",
    ];
    let said = sgt(&environment, &missing).await.failed();
    assert!(said.contains("there is no database nowhere.db"), "{said}");
    let right = [&args[..], &["--as-version", "2"]].concat();
    let said = sgt(&environment, &right).await.ok();
    assert!(
        said.contains("dropped, and version 2 is passed over"),
        "{said}"
    );

    system
        .until_asked("the third follows", &price, &["2600"])
        .await;
}
