//! What nobody is to read in a log: keys, passwords, tokens and cards.

use std::fs;

use common::Subjects::PaymentCreated;
use common::{ORDERS_SERVICE, PAYMENTS_SERVICE};
use integration_tests::services::{Story, System};

use super::permissions::guarded;
use super::{SERVICES, program};

/// How every user's token begins: `{"alg":"HS256"`, in base64.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIs";

// Guard: whoever logs leaves it out: `Debug` of `ClientConfig`, `JwtKey` and the database's address, and the routes; and
// the password in an address goes no further (`taken_out` in `client/credentials.rs`).
#[tokio::test]
async fn services_that_log_all_they_can_log_no_secret() {
    let system = guarded().await;
    let mut programs = Vec::new();
    for service in SERVICES {
        let mut variables = system.environment(service.as_str());
        variables.push(("RUST_LOG", "trace".to_owned()));
        if service == ORDERS_SERVICE {
            in_address(&mut variables);
        }
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let program = system.run_program(service, program(service), &variables);
        programs.push((service, program.await));
    }

    let order = system.order_that_awaits_payment().await;
    let bob = system.user("bob");
    assert_eq!(bob.pays(order, "tok_visa").await.status, 201);
    system.until_story(order, &Story::complete()).await;

    for (service, program) in &programs {
        let log = program.log();
        assert!(log.contains("TRACE"), "{service} logs what it can");
        for (what, secret) in system.secrets() {
            assert!(!log.contains(secret), "{service} logs {what}");
        }
        assert!(!log.contains(TOKEN), "{service} logs a user's token");
        if *service == PAYMENTS_SERVICE {
            assert!(!log.contains("tok_visa"), "{service} logs a card's token");
        }
    }
}

/// Says user and password in the address of NATS.
fn in_address(variables: &mut Vec<(&'static str, String)>) {
    let value = |name| {
        let (_, value) = variables.iter().find(|(each, _)| *each == name).unwrap();
        value
    };
    let host = value("NATS_URL").strip_prefix("nats://").unwrap();
    let (user, password) = (value("NATS_USER"), value("NATS_PASSWORD"));
    let url = format!("nats://{user}:{password}@{host}");
    variables.retain(|(name, _)| !name.starts_with("NATS_"));
    variables.push(("NATS_URL", url));
}

// Guard: `store.rs` of payments-service and its events have no place for it.
#[tokio::test]
async fn no_card_is_kept() {
    let system = System::start().await;
    let order = system.order_that_awaits_payment().await;
    let card = "tok_visa";
    assert_eq!(system.user("bob").pays(order, card).await.status, 201);
    system.until_story(order, &Story::complete()).await;

    let event = &system.broker().events(PaymentCreated, order).await[0];
    assert!(!contains(&event.payload, card), "the event has it");
    for service in SERVICES {
        let url = system.database_url(service);
        let file = url.strip_prefix("sqlite://").unwrap();
        let written = [file.to_owned(), format!("{file}-wal")].map(|file| fs::read(file).unwrap());
        let order = order.to_string();
        assert!(
            written.iter().any(|bytes| contains(bytes, &order)),
            "{file} is not where {service} writes"
        );
        for bytes in written {
            assert!(!contains(&bytes, card), "{service} keeps it");
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
