//! What is away for a while: the server, the way to it, the stream of dead letters. Nothing is lost, and whoever
//! looks at readiness is told.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::{ConnectError, build_client};
use integration_tests::notes::{NOTES, Notes, READERS, Written};
use integration_tests::{
    Act, Cable, Gate, Reader, Replica, Scripted, TestNats, Writing, long_enough_for, until,
};

const LEASE: Duration = Duration::from_secs(1);

// Guard: `store` sends again what has no answer, and the runner binds anew.
#[tokio::test]
async fn server_that_is_killed_under_load_loses_nothing() {
    let nats = TestNats::alone().await;
    let listener = Scripted::<Written, Reader>::acks();
    let twin = listener.twin();
    let replicas = [
        Replica::of(&nats, &listener).await,
        Replica::of(&nats, &twin).await,
    ];
    nats.set_lease(NOTES, READERS, LEASE).await;
    let events: Vec<_> = (0..1500)
        .map(|n| Written::on(&format!("p{}", n % 10), n))
        .collect();

    let writing = Writing::begin(nats.publisher(), events.clone());
    for kill in 1..=3 {
        writing.until(kill * 300).await;
        nats.server().kill().await;
        nats.server().restart().await;
    }

    writing.done().await;
    nats.until_caught_up(NOTES, READERS).await;
    let stored = nats.stored("NOTES", ">").await;
    assert_eq!(stored.len(), events.len(), "each is stored once");
    let handled: BTreeSet<_> = [listener.events(), twin.events()]
        .concat()
        .into_iter()
        .map(|written| written.line)
        .collect();
    assert_eq!(handled.len(), events.len());
    assert!(nats.dead_letters().await.is_empty());
    for replica in replicas {
        replica.until_ready().await;
        replica.stop().await;
    }
}

// Guard: `InHand::sort_out` knows what is held, when the server delivers it again.
#[tokio::test]
async fn handler_that_runs_through_a_restart_of_the_server_is_called_once() {
    let nats = TestNats::alone().await;
    nats.provision::<Notes>().await;
    nats.set_lease(NOTES, READERS, LEASE).await;
    let gate = Gate::shut();
    let listener = Scripted::<Written, Reader>::always(Act::AckBehind(gate.clone()));
    let replica = Replica::of(&nats, &listener).await;
    nats.publish(&Written::on("p", 1)).await;
    nats.publish(&Written::on("p", 2)).await;
    listener.until_called(1).await;

    nats.server().kill().await;
    replica.until_not_ready("connection lost").await;
    nats.server().restart().await;
    replica.until_ready().await;
    long_enough_for("a lease to run out", 2 * LEASE).await;
    gate.open();

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(listener.events(), [1, 2].map(|line| Written::on("p", line)));
    replica.stop().await;
}

// Guard: the publisher repeats a request under its `Nats-Msg-Id` until it is answered.
#[tokio::test]
async fn server_that_stands_still_for_longer_than_a_request_costs_time_only() {
    let nats = TestNats::alone().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    let publisher = nats.publisher();

    nats.server().pause().await;
    let began = Instant::now();
    let publishing = tokio::spawn(async move { publisher.publish(&Written::on("p", 1)).await });
    // A request is given up after 5 s, and sent again.
    long_enough_for("the publisher to give up", Duration::from_millis(6500)).await;
    assert!(
        !publishing.is_finished(),
        "what may be stored is no failure"
    );
    nats.server().resume().await;

    let stored = publishing.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{began:?}");
    assert_eq!(stored.sequence, 1);
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(
        nats.stream_messages(NOTES).await,
        1,
        "stored once for every try"
    );
    assert_eq!(listener.events(), [Written::on("p", 1)]);
    replica.until_ready().await;
    replica.stop().await;
}

// Guard: `InHand::acked_set` remembers what was acknowledged.
#[tokio::test]
async fn handler_whose_acknowledgement_is_lost_is_not_called_again() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    nats.set_lease(NOTES, READERS, LEASE).await;
    let cable = Cable::to(nats.url()).await;
    let client = build_client(&nats.config("far").url(cable.url()))
        .await
        .unwrap();
    let gate = Gate::shut();
    let listener = Scripted::<Written, Reader>::always(Act::AckBehind(gate.clone()));
    let replica = Replica::begin(&client, |runner| runner.listen(listener.clone()));
    replica.until_ready().await;
    let events: Vec<_> = (0..20)
        .map(|page| Written::on(&format!("p{page}"), 1))
        .collect();
    for event in &events {
        nats.publish(event).await;
    }
    listener.until_called(20).await;

    // What it says from now on is lost.
    cable.deafen();
    gate.open();
    listener.until_done(20).await;
    long_enough_for("every lease to run out", 2 * LEASE).await;
    let state = nats.consumer(NOTES, READERS).await.unwrap();
    assert_eq!(state.unsettled, 20, "nobody could tell the server");
    cable.cut();
    replica.until_not_ready("connection lost").await;
    cable.mend();

    nats.until_caught_up(NOTES, READERS).await;
    replica.until_ready().await;
    assert_eq!(listener.calls().len(), 20, "something was handled twice");
    replica.stop().await;
}

// Guard: the client connects for ever, and the runner asks anew.
#[tokio::test]
async fn replica_behind_a_cut_gives_way_to_another_and_comes_back() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    nats.set_lease(NOTES, READERS, LEASE).await;
    let cable = Cable::to(nats.url()).await;
    let client = build_client(&nats.config("far").url(cable.url()))
        .await
        .unwrap();
    let far = Scripted::<Written, Reader>::acks();
    let near = far.twin();
    let far_replica = Replica::begin(&client, |runner| runner.listen(far.clone()));
    far_replica.until_ready().await;
    let near_replica = Replica::of(&nats, &near).await;

    cable.cut();
    far_replica.until_not_ready("connection lost").await;
    let pages = |from: u32| (from..from + 50).map(|page| Written::on(&format!("p{page}"), 1));
    for event in pages(0) {
        nats.publish(&event).await;
    }
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(
        near.calls().len(),
        50,
        "somebody waits for who is not there"
    );
    cable.mend();
    far_replica.until_ready().await;

    // Whoever is ready has not yet asked for events.
    let mut from = 50;
    until("the far one is given events again", async || {
        for event in pages(from) {
            nats.publish(&event).await;
        }
        from += 50;
        let calls = far.calls().len();
        if calls > 0 { Ok(()) } else { Err(calls) }
    })
    .await;
    nats.until_caught_up(NOTES, READERS).await;
    far_replica.stop().await;
    near_replica.stop().await;
}

#[tokio::test]
async fn process_that_starts_before_the_server_is_told_who_does_not_answer() {
    let nats = TestNats::alone().await;
    let config = nats.config("early");
    nats.server().kill().await;

    let refused = build_client(&config).await.err().unwrap();

    let url = nats.url().trim_start_matches("nats://");
    assert!(
        matches!(&refused, ConnectError::Unreachable { servers, .. } if servers.contains(url)),
        "{refused:?}"
    );
}

// Guard: `Runner::until_declared` asks again.
#[tokio::test]
async fn runner_that_starts_while_the_server_is_silent_waits_for_it() {
    let nats = TestNats::alone().await;
    let cable = Cable::to(nats.url()).await;
    let client = build_client(&nats.config("late").url(cable.url()))
        .await
        .unwrap();
    cable.mute();
    let listener = Scripted::<Written, Reader>::acks();

    let replica = Replica::begin(&client, |runner| runner.listen(listener));
    replica
        .until_not_ready("could not be read: request STREAM.INFO.NOTES failed: no answer within 5s")
        .await;
    cable.mend();

    replica.until_ready().await;
}

// Guard: `JetStreamPublisher` repeats a request under its `Nats-Msg-Id` until it is answered.
#[tokio::test]
async fn server_that_is_stopped_for_longer_than_a_request_costs_time_only() {
    let nats = TestNats::alone().await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    let publisher = nats.publisher();

    nats.server().stop().await;
    let publishing = tokio::spawn(async move { publisher.publish(&Written::on("p", 1)).await });
    // A request is given up after 5 s, and sent again.
    long_enough_for("the publisher to give up", Duration::from_millis(6500)).await;
    assert!(
        !publishing.is_finished(),
        "what may be stored is no failure"
    );
    nats.server().restart().await;

    let stored = publishing.await.unwrap().unwrap();
    assert_eq!(stored.sequence, 1);
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(nats.stream_messages(NOTES).await, 1, "stored for every try");
    assert_eq!(listener.events(), [Written::on("p", 1)]);
    replica.until_ready().await;
    replica.stop().await;
}

// Guard: `Consumer::session` binds anew when the connection was made anew.
#[tokio::test]
async fn server_that_sends_its_clients_away_loses_nothing() {
    let nats = TestNats::configured(
        r#"
        lame_duck_duration: "30s"
        lame_duck_grace_period: "1s"
        "#,
    )
    .await;
    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;
    let events: Vec<_> = (0..500)
        .map(|n| Written::on(&format!("p{}", n % 10), n))
        .collect();

    let writing = Writing::begin(nats.publisher(), events.clone());
    writing.until(100).await;
    nats.server().retire().await;
    nats.server().restart().await;

    writing.done().await;
    nats.until_caught_up(NOTES, READERS).await;
    let stored = nats.stored("NOTES", ">").await;
    assert_eq!(stored.len(), events.len(), "each is stored once");
    let handled: BTreeSet<_> = listener.events().iter().map(|event| event.line).collect();
    assert_eq!(handled.len(), events.len());
    assert!(nats.dead_letters().await.is_empty());
    replica.until_ready().await;
    replica.stop().await;
}
