//! What nobody is to read in a log: keys, passwords, tokens and cards.

use common::PAYMENTS_SERVICE;
use integration_tests::services::Story;

use super::permissions::guarded;
use super::{SERVICES, program};

// Guard: whoever logs leaves it out: `Debug` of `ClientConfig`, `JwtKey` and the database's address, and the routes.
#[tokio::test]
async fn services_that_log_all_they_can_log_no_secret() {
    let system = guarded().await;
    let mut programs = Vec::new();
    for service in SERVICES {
        let mut variables = system.environment(service.as_str());
        variables.push(("RUST_LOG", "trace".to_owned()));
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
        // The part of a user's token that proves it.
        for line in log.lines().filter(|line| line.contains("Bearer ")) {
            panic!("{service} logs a user's token: {line}");
        }
        if *service == PAYMENTS_SERVICE {
            assert!(!log.contains("tok_visa"), "{service} logs a card's token");
        }
    }
}
