//! A replica that is told to stop: it finishes what it has begun, hands over the rest, and ends in time.

use std::time::{Duration, Instant};

use common::{ORDERS_SERVICE, PAYMENTS_SERVICE, TICKETS_SERVICE};
use integration_tests::notes::{NOTES, Notes, READERS, Written};
use integration_tests::services::System;
use integration_tests::{Act, Reader, Replica, Scripted, TestNats, Writing, attempts, until};
use tokio::net::TcpStream;

use crate::sdk::groups::{behind_a_gate, lines, sorted};
use crate::services::program;

const LEASE: Duration = Duration::from_secs(1);

// Guard: `Consumer::drain` hands back what has not started.
#[tokio::test]
async fn shutdown_finishes_what_runs_and_hands_over_what_waits() {
    let nats = TestNats::start().await;
    let (gate, listener) = behind_a_gate(|_| true);
    let one = Replica::start(&nats, |runner| {
        runner.listen(listener.clone()).retry(attempts(1))
    })
    .await;
    for line in 1..=10 {
        nats.publish(&Written::on("a", line)).await;
    }
    listener.until_called(1).await;
    nats.until_consumer(NOTES, READERS, "has given away all", |state| {
        state.unsettled == 10
    })
    .await;
    let twin = Scripted::<Written, Reader>::acks();
    // What was handed over was tried by nobody, and one attempt is left for it.
    let other = Replica::start(&nats, |runner| {
        runner.listen(twin.clone()).retry(attempts(1))
    })
    .await;

    let began = Instant::now();
    one.tell_to_stop();
    twin.until_called(9).await;
    gate.open();
    one.stop().await;

    let took = began.elapsed();
    let half_a_lease = Duration::from_secs(5);
    assert!(took < half_a_lease, "left to their leases: {took:?}");
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(listener.events(), [Written::on("a", 1)]);
    let rest: Vec<_> = (2..=10).map(|line| Written::on("a", line)).collect();
    assert_eq!(sorted(twin.events()), rest);
    assert!(nats.dead_letters().await.is_empty());
    other.stop().await;
}

// Guard: the deadline in `Consumer::drain`.
#[tokio::test]
async fn handler_that_does_not_finish_in_time_is_stopped_and_its_event_comes_again() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    nats.set_lease(NOTES, READERS, LEASE).await;
    let hangs = Scripted::<Written, Reader>::always(Act::Hang);
    let drain = Duration::from_millis(300);
    let one = Replica::start(&nats, |runner| {
        runner.listen(hangs.clone()).drain_within(drain)
    })
    .await;
    nats.publish(&Written::on("a", 1)).await;
    hangs.until_called(1).await;

    let began = Instant::now();
    one.stop().await;

    let took = began.elapsed();
    assert!(
        took >= drain && took < drain + Duration::from_secs(4),
        "{took:?}"
    );
    let listener = Scripted::<Written, Reader>::acks();
    let other = Replica::of(&nats, &listener).await;
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(listener.events(), [Written::on("a", 1)]);
    other.stop().await;
}

#[tokio::test]
async fn rolling_restart_under_load_handles_every_event_once() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let listener = Scripted::<Written, Reader>::acks();
    let mut replica = Replica::of(&nats, &listener).await;
    let events = lines(50, 40);
    let writing = Writing::begin(nats.publisher(), events.clone());

    for round in 1..=5 {
        let next = Replica::of(&nats, &listener).await;
        writing.until(round * 200).await;
        replica.stop().await;
        replica = next;
    }

    writing.done().await;
    nats.until_caught_up(NOTES, READERS).await;
    replica.stop().await;
    assert_eq!(sorted(listener.events()), sorted(events));
}

// Guard: the confirmation of the last acknowledgement is waited for no longer than `LAST_WORDS`.
#[tokio::test]
async fn shutdown_while_the_server_is_away_does_not_wait_for_it() {
    let nats = TestNats::alone().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    nats.publish(&Written::on("p", 1)).await;
    nats.until_caught_up(NOTES, READERS).await;
    nats.server().kill().await;
    replica.until_not_ready("connection lost").await;

    let began = Instant::now();
    replica.stop().await;

    let took = began.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
}

// Guard: `until_signalled` listens on after the first signal.
#[tokio::test]
async fn second_signal_ends_a_service_at_once() {
    let system = System::builder().start_server().await;
    for service in [TICKETS_SERVICE, ORDERS_SERVICE] {
        system.start_service(service).await;
    }
    let slow = [("SANDBOX_LATENCY", "7s")];
    let path = program(PAYMENTS_SERVICE);
    let payments = system.run_program(PAYMENTS_SERVICE, path, &slow).await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;

    let (paid, (status, took)) = tokio::join!(bob.tries_to_pay(order, "tok_visa"), async {
        let charging = format!("SELECT status FROM payments.payments WHERE order_id = '{order}'");
        system
            .until_asked("the bank is asked", &charging, &["charging"])
            .await;
        payments.tell_to_stop();
        until(
            "it takes no more requests",
            async || match TcpStream::connect(payments.addr()).await {
                Ok(_) => Err("it does"),
                Err(_) => Ok(()),
            },
        )
        .await;
        let began = Instant::now();
        payments.tell_to_stop();
        (payments.end().await, began.elapsed())
    });

    assert_eq!(status.code(), Some(130));
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(paid.is_err(), "{paid:?}");
}
