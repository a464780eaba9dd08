use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::super::fixture::{Deposited, Reminded, Scratch, deposit, eventually, viewed};
use super::super::outbox;
use super::lanes::{Lanes, PAGE};
use super::*;
use crate::publisher::Publisher as _;

mod several;

/// Quick where a test waits, slow where it must not happen.
const QUICK: Pace = Pace {
    lease: Duration::from_secs(30),
    retry: Duration::from_millis(10),
    poll: Duration::from_secs(30),
    siblings: Duration::from_secs(30),
    removal: Duration::from_millis(1),
    pause: Duration::from_millis(1),
    longest_pause: Duration::from_millis(5),
    blocked: Duration::from_millis(20),
    drain: Duration::from_millis(200),
};

/// The same, with another process at the same database.
const BESIDE: Pace = Pace {
    siblings: Duration::from_millis(5),
    ..QUICK
};

/// A broker that notes what it stores, and fails as it is told.
#[derive(Debug, Default)]
struct Broken {
    stored: Mutex<Vec<Outgoing>>,
    due: Mutex<Vec<Option<Timestamp>>>,
    /// Keys that are refused for good.
    refused: Mutex<HashSet<String>>,
    /// Keys that are not answered until they are taken from here.
    stuck: Mutex<HashSet<String>>,
    freed: Notify,
    away: AtomicBool,
    /// Of a hundred sends, how many are not acknowledged; every other one of them is stored.
    silent: AtomicU64,
    random: AtomicU64,
}

impl Broken {
    fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    fn versions_of(&self, key: &str) -> Vec<u64> {
        let stored = self.stored.lock().unwrap();
        stored
            .iter()
            .filter(|outgoing| outgoing.key.as_str() == key)
            .map(|outgoing| {
                let event: Deposited = serde_json::from_slice(&outgoing.payload).unwrap();
                event.version.get()
            })
            .collect()
    }

    fn len(&self) -> usize {
        self.stored.lock().unwrap().len()
    }

    fn refuse(&self, key: &str) {
        self.refused.lock().unwrap().insert(key.to_owned());
    }

    fn accept(&self, key: &str) {
        self.refused.lock().unwrap().remove(key);
    }

    fn hold(&self, key: &str) {
        self.stuck.lock().unwrap().insert(key.to_owned());
    }

    fn free(&self, key: &str) {
        self.stuck.lock().unwrap().remove(key);
        self.freed.notify_waiters();
    }

    /// A number below a hundred, of a fixed sequence.
    fn roll(&self) -> u64 {
        let next = |seed: u64| {
            seed.wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407)
        };
        let seed = self
            .random
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seed| {
                Some(next(seed))
            });
        (next(seed.unwrap()) >> 33) % 100
    }

    fn store(&self, outgoing: &Outgoing, due: Option<Timestamp>) -> Stored {
        self.due.lock().unwrap().push(due);
        let mut stored = self.stored.lock().unwrap();
        stored.push(outgoing.clone());
        Stored {
            sequence: u64::try_from(stored.len()).unwrap(),
            duplicate: false,
        }
    }
}

impl Broker for Broken {
    async fn send(
        &self,
        outgoing: &Outgoing,
        due: Option<Timestamp>,
    ) -> Result<Stored, PublishError> {
        for _ in 0..self.roll() % 5 {
            tokio::task::yield_now().await;
        }
        let key = outgoing.key.as_str();
        loop {
            let freed = self.freed.notified();
            if !self.stuck.lock().unwrap().contains(key) {
                break;
            }
            freed.await;
        }
        let silence = || PublishError::AckTimeout {
            subject: outgoing.subject(),
            waited: Duration::ZERO,
        };
        if self.away.load(Ordering::Relaxed) {
            return Err(silence());
        }
        if self.refused.lock().unwrap().contains(key) {
            return Err(PublishError::Refused {
                subject: outgoing.subject(),
                code: 10_000,
                description: "no".to_owned(),
            });
        }
        if self.roll() < self.silent.load(Ordering::Relaxed) {
            if self.roll().is_multiple_of(2) {
                self.store(outgoing, due);
            }
            return Err(silence());
        }
        Ok(self.store(outgoing, due))
    }
}

/// A relay that runs beside the test.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
    health: Health,
}

impl Running {
    fn start(database: &Database, broker: &Arc<Broken>, pace: Pace) -> Self {
        let (stop, health) = (CancellationToken::new(), Health::new());
        let task = {
            let (database, broker) = (database.clone(), Arc::clone(broker));
            let (stop, health) = (stop.clone(), health.clone());
            tokio::spawn(async move {
                Office::new(&database, &*broker, &health, pace)
                    .run(stop.cancelled())
                    .await;
            })
        };
        Self { stop, task, health }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn publish(database: &Database, key: &str, versions: impl IntoIterator<Item = u64>) {
    let mut tx = database.begin().await.unwrap();
    for version in versions {
        tx.publish(&deposit(key, version)).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn emptied(database: &Database) {
    eventually("the outbox is empty", || async {
        database.pending_events().await.unwrap() == 0
    })
    .await;
}

fn range(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[tokio::test]
async fn events_of_a_key_are_sent_in_order_whatever_fails() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let broker = Broken::new();
    broker.silent.store(15, Ordering::Relaxed);
    let relay = Running::start(&database, &broker, QUICK);
    let keys: Vec<_> = (0..15).map(|key| format!("key{key}")).collect();

    for version in 1..=20 {
        for key in &keys {
            publish(&database, key, [version]).await;
        }
    }
    emptied(&database).await;
    relay.stop().await;

    let mut copies: HashMap<_, u32> = HashMap::new();
    for outgoing in broker.stored.lock().unwrap().iter() {
        *copies.entry(outgoing.id).or_default() += 1;
    }
    assert!(
        copies.values().any(|copies| *copies > 1),
        "nothing was sent again"
    );
    for key in &keys {
        let mut versions = broker.versions_of(key);
        versions.dedup();
        assert_eq!(versions, range(20), "{key}");
    }
}

/// Hides a key's rows from a reader, as if they were not committed yet.
async fn hide(database: &Database, key: &str, hidden: i64) {
    sqlx::query("UPDATE event_outbox SET parked = $1 WHERE key = $2")
        .bind(hidden)
        .bind(key)
        .execute(database.writer())
        .await
        .unwrap();
}

/// Reads a page, and yields how many rows it had.
async fn read_page(database: &Database, lanes: &mut Lanes, paused: &[String]) -> usize {
    let page = lanes.page(paused);
    let rows = outbox::read(database.reader(), &page).await.unwrap();
    let len = rows.len();
    for row in rows {
        lanes.take_in(row);
    }
    len
}

/// The key's next two versions, as the lanes let them go.
fn next_two_of(lanes: &mut Lanes, key: &str) -> [u64; 2] {
    let mut versions = Vec::new();
    while let Some(event) = lanes.next() {
        lanes.acknowledged(&event);
        if event.lane.key == key {
            let outgoing = event.outgoing().unwrap();
            versions.push(outgoing.version.unwrap().get());
        }
    }
    versions.try_into().unwrap()
}

#[tokio::test]
async fn row_that_appears_in_front_of_what_was_read_goes_before_its_successor() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    publish(&database, "late", [1]).await;
    hide(&database, "late", 1).await;
    for key in 0..PAGE {
        publish(&database, &format!("key{key}"), [1]).await;
    }
    let mut lanes = Lanes::new(QUICK);
    lanes.begin_reading();
    assert_eq!(read_page(&database, &mut lanes, &[]).await, PAGE);

    // The first transaction of the key commits, and then the second, which has waited for it.
    hide(&database, "late", 0).await;
    publish(&database, "late", [2]).await;
    assert_eq!(read_page(&database, &mut lanes, &[]).await, 2);

    assert_eq!(next_two_of(&mut lanes, "late"), [1, 2]);
}

#[tokio::test]
async fn stream_whose_pause_ends_between_two_pages_keeps_its_order() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let mut tx = database.begin().await.unwrap();
    for nth in 0..=PAGE {
        let account = format!("key{nth}");
        let due = Timestamp::now();
        tx.publish_at(&Reminded { account }, due).await.unwrap();
        if nth == 0 || nth == PAGE {
            let version = if nth == 0 { 1 } else { 2 };
            tx.publish(&deposit("ann", version)).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
    let mut lanes = Lanes::new(QUICK);
    lanes.begin_reading();

    let paused = ["ACCOUNTS".to_owned()];
    assert_eq!(read_page(&database, &mut lanes, &paused).await, PAGE);
    assert_eq!(read_page(&database, &mut lanes, &[]).await, 3);

    assert_eq!(next_two_of(&mut lanes, "ann"), [1, 2]);
}

#[tokio::test]
async fn event_arrives_as_it_was_published() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let headers = crate::Headers::new().with("tenant", "acme").unwrap();
    let mut tx = database.begin().await.unwrap();
    tx.publish_with(&deposit("ann", 1), &headers).await.unwrap();
    tx.commit().await.unwrap();
    let broker = Broken::new();
    let relay = Running::start(&database, &broker, QUICK);
    emptied(&database).await;
    relay.stop().await;

    let stored = broker.stored.lock().unwrap();
    let outgoing = &stored[0];
    assert_eq!(outgoing.subject(), "account:deposited.ann");
    assert_eq!(outgoing.stream, "ACCOUNTS");
    assert_eq!(outgoing.version, Some(crate::Version::FIRST));
    assert_eq!(outgoing.headers.get("tenant"), Some("acme"));
    let id = outgoing.id.to_string();
    assert_eq!(outgoing.headers.get("Nats-Msg-Id"), Some(&*id));
    assert_eq!(outgoing.headers.get("ce-id"), Some(&*id));
}

#[tokio::test]
async fn what_is_overdue_is_sent_as_a_plain_message() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let now = Timestamp::now();
    let hour = Duration::from_hours(1);
    for (account, due) in [("late", now - hour), ("soon", now + hour)] {
        let account = account.to_owned();
        let mut tx = database.begin().await.unwrap();
        tx.publish_at(&Reminded { account }, due).await.unwrap();
        tx.commit().await.unwrap();
    }
    let broker = Broken::new();
    let relay = Running::start(&database, &broker, QUICK);
    emptied(&database).await;
    relay.stop().await;

    let due: HashSet<_> = broker.due.lock().unwrap().iter().copied().collect();
    assert_eq!(due, HashSet::from([None, Some(now + hour)]));
}

#[tokio::test]
async fn refused_event_blocks_its_key_only_and_makes_the_process_not_ready() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let broker = Broken::new();
    broker.refuse("bad");
    // More than are read at once, and in front.
    publish(&database, "bad", 1..=300).await;
    let relay = Running::start(&database, &broker, QUICK);
    publish(&database, "good", 1..=5).await;

    eventually("the good key flows", || async {
        broker.versions_of("good") == range(5)
    })
    .await;
    eventually("the process is not ready", || async {
        !relay.health.is_ready()
    })
    .await;
    publish(&database, "bad", [301]).await;
    publish(&database, "good", [6]).await;
    eventually("the good key flows on", || async {
        broker.versions_of("good") == range(6) && database.pending_events().await.unwrap() == 301
    })
    .await;
    let trouble = relay.health.troubles()[PART].message.clone();
    assert!(trouble.contains("account:deposited.bad"), "{trouble}");

    broker.accept("bad");
    emptied(&database).await;
    eventually("the process is ready", || async { relay.health.is_ready() }).await;
    relay.stop().await;
    assert_eq!(broker.versions_of("bad"), range(301));
}

#[tokio::test]
async fn row_that_cannot_be_read_blocks_its_key_only() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    publish(&database, "bad", [1]).await;
    sqlx::query("UPDATE event_outbox SET headers = 'none'")
        .execute(database.writer())
        .await
        .unwrap();
    publish(&database, "good", [1]).await;
    let broker = Broken::new();
    let relay = Running::start(&database, &broker, QUICK);

    eventually("the good key flows", || async { broker.len() == 1 }).await;
    eventually("the process is not ready", || async {
        !relay.health.is_ready()
    })
    .await;
    relay.stop().await;
}

#[tokio::test]
async fn long_lane_leaves_room_for_others() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let broker = Broken::new();
    broker.hold("slow");
    publish(&database, "slow", 1..=1000).await;
    publish(&database, "quick", 1..=100).await;
    let relay = Running::start(&database, &broker, QUICK);

    eventually("the quick key flows", || async {
        broker.versions_of("quick") == range(100)
    })
    .await;
    broker.free("slow");
    emptied(&database).await;
    relay.stop().await;

    assert_eq!(broker.versions_of("slow"), range(1000));
    assert_eq!(broker.len(), 1100);
}

#[tokio::test]
async fn relay_waits_for_the_broker() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let broker = Broken::new();
    broker.away.store(true, Ordering::Relaxed);
    let relay = Running::start(&database, &broker, QUICK);
    for key in 0..40 {
        publish(&database, &format!("key{key}"), 1..=20).await;
    }
    eventually("trouble is told", || async {
        !relay.health.troubles().is_empty()
    })
    .await;
    assert!(relay.health.is_ready(), "events can still be taken");
    assert_eq!(database.pending_events().await.unwrap(), 800);

    broker.away.store(false, Ordering::Relaxed);
    emptied(&database).await;
    eventually("no trouble is told", || async {
        relay.health.troubles().is_empty()
    })
    .await;
    relay.stop().await;

    assert_eq!(broker.len(), 800);
    for key in 0..40 {
        assert_eq!(broker.versions_of(&format!("key{key}")), range(20));
    }
}

#[tokio::test]
async fn pause_of_a_stream_ends_by_itself() {
    let scratch = Scratch::new().await;
    let database = scratch.open().await;
    let broker = Broken::new();
    broker.away.store(true, Ordering::Relaxed);
    publish(&database, "ann", 1..=3).await;
    let pace = Pace {
        pause: Duration::from_millis(100),
        longest_pause: Duration::from_millis(100),
        ..QUICK
    };
    let relay = Running::start(&database, &broker, pace);
    eventually("trouble is told", || async {
        !relay.health.troubles().is_empty()
    })
    .await;

    broker.away.store(false, Ordering::Relaxed);
    emptied(&database).await;
    relay.stop().await;
    assert_eq!(broker.versions_of("ann"), range(3));
}
