//! Several processes at one database, and the end of one.

use super::*;

#[tokio::test]
async fn commit_of_another_process_wakes_the_relay() {
    let scratch = Scratch::new().await;
    let (database, sibling) = (scratch.open().await, scratch.open().await);
    let broker = Broken::new();
    let relay = Running::start(&database, &broker, BESIDE);
    publish(&database, "ann", [1]).await;
    emptied(&database).await;

    publish(&sibling, "ann", [2]).await;
    emptied(&database).await;
    relay.stop().await;

    assert_eq!(broker.versions_of("ann"), [1, 2]);
}

#[tokio::test]
async fn one_relay_works_at_a_time_and_another_takes_over_when_it_is_gone() {
    let scratch = Scratch::new().await;
    let (database, sibling) = (scratch.open().await, scratch.open().await);
    let (first, second) = (Broken::new(), Broken::new());
    let pace = Pace {
        lease: Duration::from_millis(400),
        ..BESIDE
    };
    let leader = Running::start(&database, &first, pace);
    publish(&database, "ann", [1]).await;
    emptied(&database).await;
    let follower = Running::start(&sibling, &second, pace);
    publish(&sibling, "ann", 2..=20).await;
    emptied(&sibling).await;
    assert_eq!(first.versions_of("ann"), range(20));
    assert_eq!(second.len(), 0);

    // Killed in the middle of its work.
    first.hold("ann");
    publish(&database, "ann", 21..=40).await;
    leader.task.abort();
    emptied(&sibling).await;
    assert_eq!(second.versions_of("ann"), (21..=40).collect::<Vec<_>>());
    follower.stop().await;
}

#[tokio::test]
async fn stopped_relay_gives_the_lease_back() {
    let scratch = Scratch::new().await;
    let (database, sibling) = (scratch.open().await, scratch.open().await);
    let (first, second) = (Broken::new(), Broken::new());
    let pace = Pace {
        lease: Duration::from_hours(1),
        ..BESIDE
    };
    let leader = Running::start(&database, &first, pace);
    publish(&database, "ann", [1]).await;
    emptied(&database).await;
    let follower = Running::start(&sibling, &second, pace);
    leader.stop().await;

    publish(&sibling, "ann", [2]).await;
    emptied(&sibling).await;
    follower.stop().await;

    assert_eq!(second.versions_of("ann"), [2]);
}

#[tokio::test]
async fn shutdown_waits_for_what_is_on_its_way_and_not_for_ever() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let broker = Broken::new();
    broker.hold("ann");
    broker.hold("bob");
    publish(&database, "ann", [1, 2]).await;
    publish(&database, "bob", [1]).await;
    let relay = Running::start(&database, &broker, QUICK);
    eventually("both are on their way", || async {
        broker.random.load(Ordering::Relaxed) != 0
    })
    .await;

    relay.stop.cancel();
    broker.free("ann");
    relay.task.await.unwrap();

    let left = database.pending_events().await.unwrap();
    assert!(left >= 1, "bob's never ends");
    let stored = u64::try_from(broker.len()).unwrap();
    assert_eq!(stored + left, 3, "what was stored is removed");
}

#[tokio::test]
async fn shutdown_sends_what_was_published_until_then() {
    let scratch = Scratch::new().await;
    let (database, sibling) = (scratch.open().await, scratch.open().await);
    let broker = Broken::new();
    broker.hold("ann");
    // More than fit in memory, behind one that is on its way.
    publish(&database, "ann", 1..=100).await;
    let pace = Pace {
        drain: Duration::from_secs(30),
        ..QUICK
    };
    let relay = Running::start(&database, &broker, pace);
    eventually("the first is on its way", || async {
        broker.random.load(Ordering::Relaxed) != 0
    })
    .await;
    // Of which the relay does not hear.
    publish(&sibling, "bob", [1]).await;

    relay.stop.cancel();
    broker.free("ann");
    relay.task.await.unwrap();

    assert_eq!(broker.versions_of("bob"), [1]);
    assert_eq!(broker.versions_of("ann"), range(100));
    assert_eq!(database.pending_events().await.unwrap(), 0);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_what_cannot_be_sent() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let broker = Broken::new();
    broker.refuse("ann");
    publish(&database, "ann", 1..=3).await;
    let hour = Duration::from_hours(1);
    let pace = Pace {
        blocked: hour,
        pause: hour,
        drain: hour,
        ..QUICK
    };
    let relay = Running::start(&database, &broker, pace);
    eventually("the key is blocked", || async { !relay.health.is_ready() }).await;
    broker.away.store(true, Ordering::Relaxed);
    publish(&database, "bob", 1..=3).await;

    relay.stop().await;

    assert_eq!(database.pending_events().await.unwrap(), 6);
}

#[tokio::test]
async fn epoch_tells_a_relay_that_slept_that_its_time_is_over() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    publish(&database, "ann", [1]).await;
    let (moment, minute) = (Duration::from_millis(1), Duration::from_mins(1));
    let mut slept = Lease::take(&database, "a", moment).await.unwrap().unwrap();
    eventually("the lease expires", || async { !slept.lives() }).await;
    let awake = Lease::take(&database, "b", minute).await.unwrap().unwrap();

    assert!(awake.epoch() > slept.epoch());
    assert!(slept.renew_in().is_zero());
    assert!(!slept.renew(&database).await.unwrap());
    let lane = outbox::Lane {
        stream: "ACCOUNTS".to_owned(),
        key: "ann".to_owned(),
    };
    let park = async |epoch| {
        let parked = outbox::park(database.writer(), std::slice::from_ref(&lane), epoch);
        parked.await.unwrap()
    };
    assert_eq!(park(slept.epoch()).await, 0);
    let parked: i64 = sqlx::query_scalar("SELECT count(*) FROM event_outbox WHERE parked = 1")
        .fetch_one(database.reader())
        .await
        .unwrap();
    assert_eq!(parked, 0);
    assert_eq!(park(awake.epoch()).await, 1);
    slept.release(&database).await.unwrap();
    assert!(Lease::take(&database, "a", minute).await.unwrap().is_none());
    awake.release(&database).await.unwrap();
    assert!(Lease::take(&database, "a", minute).await.unwrap().is_some());
}

#[tokio::test]
async fn lease_of_a_clock_that_ran_ahead_is_taken() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let lasts = Duration::from_secs(10);
    let ahead = Duration::from_hours(1);
    Lease::take(&database, "a", ahead).await.unwrap().unwrap();
    assert!(Lease::take(&database, "b", lasts).await.unwrap().is_some());
}

#[tokio::test]
async fn relay_outlives_a_locked_database() {
    let scratch = Scratch::new().await;
    let (database, sibling) = (scratch.open().await, scratch.open().await);
    if database.backend() == crate::Backend::Postgres {
        return;
    }
    let broker = Broken::new();
    let pace = Pace {
        lease: Duration::from_millis(300),
        ..BESIDE
    };
    let relay = Running::start(&database, &broker, pace);
    publish(&database, "ann", [1]).await;
    emptied(&database).await;

    let mut lock = sibling.begin().await.unwrap();
    lock.publish(&viewed("bob")).await.unwrap();
    eventually("trouble is told", || async {
        !relay.health.troubles().is_empty()
    })
    .await;
    lock.commit().await.unwrap();
    emptied(&database).await;
    relay.stop().await;
    assert_eq!(broker.len(), 2);
}

#[tokio::test]
async fn position_that_a_restored_database_gives_again_is_sent() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let broker = Broken::new();
    broker.hold("ann");
    publish(&database, "ann", [1]).await;
    let relay = Running::start(&database, &broker, QUICK);
    eventually("it is on its way", || async {
        broker.random.load(Ordering::Relaxed) != 0
    })
    .await;
    let new = Uuid::now_v7();
    sqlx::query("UPDATE event_outbox SET event_id = $1")
        .bind(new.to_string())
        .execute(database.writer())
        .await
        .unwrap();

    broker.free("ann");
    eventually("it is acknowledged", || async { broker.len() == 1 }).await;
    // The next reading has both.
    publish(&database, "bob", [1]).await;
    emptied(&database).await;
    relay.stop().await;

    let stored = broker.stored.lock().unwrap();
    assert!(
        stored.iter().any(|outgoing| outgoing.id == new),
        "{stored:?}"
    );
}
