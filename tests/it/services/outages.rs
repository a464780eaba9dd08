//! What a service has answered is true, whatever goes away afterwards.

use common::Subjects::TicketCreated;
use common::{ORDERS_SERVICE, TICKETS_SERVICE};
use integration_tests::Cable;
use integration_tests::services::{Story, System, until};

use super::{SERVICES, program};

// Guard: no request waits for the broker: the outbox takes the event.
#[tokio::test]
async fn ticket_that_was_taken_while_nats_was_away_is_told_of_when_it_is_back() {
    let system = System::start().await;
    let (alice, bob) = (system.user("alice"), system.user("bob"));
    system.stop_nats().await;

    let ticket = alice.sells("Concert", 2500).await;

    for service in SERVICES {
        until(
            &format!("{service} says that it is not ready"),
            async || {
                let readiness = system.nobody().get(service, "/readyz").await;
                let trouble = &readiness.json["troubles"]["nats"];
                if readiness.status == 503 && trouble["severity"] == "not ready" {
                    Ok(())
                } else {
                    Err(readiness.text)
                }
            },
        )
        .await;
    }
    system.restart_nats().await;
    let order = bob.orders_once_known(ticket).await;
    system.until_story(order, &Story::awaiting_payment()).await;
    assert_eq!(bob.pays(order, "tok_visa").await.status, 201);
    system.until_story(order, &Story::complete()).await;
    system.stop().await;
}

// Guard: the event is written to the outbox in the transaction of its row.
#[tokio::test]
async fn ticket_whose_service_was_killed_before_it_could_tell_is_told_of_by_the_next() {
    let system = System::builder().start_server().await;
    system.start_service(ORDERS_SERVICE).await;
    let path = program(TICKETS_SERVICE);
    let mut killed = system.run_program(TICKETS_SERVICE, path, &[]).await;
    system.stop_nats().await;

    let ticket = system.user("alice").sells("Concert", 2500).await;
    killed.kill();

    system.restart_nats().await;
    let restarted = system.run_program(TICKETS_SERVICE, path, &[]).await;
    system.user("bob").orders_once_known(ticket).await;
    assert!(restarted.terminate().await.success());
}

// Guard: `Nats-Msg-Id` is the event's id, which is in its outbox row from the beginning.
#[tokio::test]
async fn ticket_whose_service_was_killed_between_telling_and_noting_it_is_told_of_once() {
    let system = System::builder().start_server().await;
    system.start_service(ORDERS_SERVICE).await;
    let path = program(TICKETS_SERVICE);
    let cable = Cable::to(system.nats_url()).await;
    let far = [("NATS_URL", cable.url())];
    let mut killed = system.run_program(TICKETS_SERVICE, path, &far).await;
    // What it says arrives, and it does not hear so.
    cable.mute();

    let ticket = system.user("alice").sells("Concert", 2500).await;
    until("the server has the event", async || {
        match system.broker().events(TicketCreated, ticket).await.len() {
            1 => Ok(()),
            stored => Err(stored),
        }
    })
    .await;
    killed.kill();
    let unsent = "SELECT count(*) || '' FROM tickets.event_outbox";
    assert_eq!(system.books().ask(unsent).await, ["1"]);

    let restarted = system.run_program(TICKETS_SERVICE, path, &[]).await;
    system
        .until_asked("the outbox is empty", unsent, &["0"])
        .await;
    system.user("bob").orders_once_known(ticket).await;
    assert_eq!(system.broker().events(TicketCreated, ticket).await.len(), 1);
    assert!(restarted.terminate().await.success());
}
