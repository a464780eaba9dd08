//! What the server must have: created, compared and brought back.

use std::num::NonZeroUsize;
use std::time::Duration;

use common::{
    Change, ClientConfig, ConnectError, Drift, Provisioning, RunError, Topology, TopologyError,
    build_client,
};
use futures::future::join_all;
use integration_tests::notes::{
    ARCHIVE, Deposited, Erased, NOTES, NextNotes, NextWritten, Notes, READERS, Withdrawn, Written,
};
use integration_tests::{
    EveryVersion, Ledger, NewestOnly, Reader, Replica, Scripted, Teller, TestNats,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpListener;

#[tokio::test]
async fn provisioning_creates_what_is_missing_and_then_keeps_it() {
    let nats = TestNats::start().await;
    let topology = Topology::of::<Notes>();

    let first = topology.provision(nats.client(), NonZeroUsize::MIN).await;
    let second = topology.provision(nats.client(), NonZeroUsize::MIN).await;

    let parts = [
        "stream NOTES",
        "stream DEAD_LETTERS",
        "consumer archive on NOTES",
        "consumer readers on NOTES",
    ];
    let created = parts.map(|of| Change::Created { of: of.to_owned() });
    let kept = parts.map(|of| Change::Kept { of: of.to_owned() });
    assert_eq!(first.unwrap(), created);
    assert_eq!(second.unwrap(), kept);
    assert_eq!(topology.verify(nats.client()).await.unwrap(), []);
    let stream = nats.stream_config("NOTES").await;
    for (setting, value) in [
        ("storage", json!("file")),
        ("retention", json!("limits")),
        ("discard", json!("new")),
        ("max_age", nanos(Duration::from_hours(30 * 24))),
        ("max_bytes", json!(1 << 30)),
        ("duplicate_window", nanos(Duration::from_mins(2))),
        ("num_replicas", json!(1)),
    ] {
        assert_eq!(stream[setting], value, "{setting}");
    }
}

fn nanos(duration: Duration) -> Value {
    json!(u64::try_from(duration.as_nanos()).unwrap())
}

#[tokio::test]
async fn replicas_that_start_together_may_all_provision() {
    let nats = TestNats::start().await;
    let clients =
        join_all((0..8).map(|n| nats.connect(if n % 2 == 0 { "one" } else { "two" }))).await;
    let topology = Topology::of::<Notes>();
    let next = Topology::of::<NextNotes>();

    let provisioned = join_all(clients.iter().enumerate().map(|(n, client)| {
        let topology = if n < 4 { &topology } else { &next };
        topology.provision(client, NonZeroUsize::MIN)
    }))
    .await;

    for result in provisioned {
        result.unwrap();
    }
    topology.verify(nats.client()).await.unwrap();
    assert_eq!(next.verify(nats.client()).await.unwrap(), []);
}

/// What keeps a replica of readers from starting that may create nothing.
async fn refusal(nats: &TestNats) -> Vec<Drift> {
    let replica = bind_only(nats, &Scripted::acks()).await;
    match replica.end().await {
        Err(RunError::Topology(TopologyError::Drift { differences })) => differences,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn bind_only(nats: &TestNats, listener: &Scripted<Written, Reader>) -> Replica {
    let client = nats.connect("bind-only").await;
    Replica::begin(&client, |runner| {
        runner
            .listen(listener.clone())
            .provisioning(Provisioning::BindOnly)
    })
}

fn drift(
    of: &str,
    setting: &'static str,
    declared: &impl ToString,
    found: &impl ToString,
) -> Drift {
    Drift {
        of: of.to_owned(),
        setting,
        declared: declared.to_string(),
        found: found.to_string(),
    }
}

#[tokio::test]
async fn replica_that_may_create_nothing_names_all_that_is_missing() {
    let nats = TestNats::start().await;
    let missing = |of| drift(of, "it", &"present", &"missing");

    let all = [
        "stream NOTES",
        "stream DEAD_LETTERS",
        "consumer readers on NOTES",
    ];
    assert_eq!(refusal(&nats).await, all.map(missing));
    assert_eq!(
        nats.ask("STREAM.INFO.NOTES", &json!({})).await["error"]["code"],
        404
    );

    nats.provision::<Notes>().await;
    nats.delete_consumer(NOTES, ARCHIVE).await;
    let replica = bind_only(&nats, &Scripted::acks()).await;
    replica.until_ready().await;
    replica.stop().await;
    nats.delete_consumer(NOTES, READERS).await;
    assert_eq!(refusal(&nats).await, [missing("consumer readers on NOTES")]);
}

#[tokio::test]
async fn replica_that_may_create_nothing_names_every_setting_that_is_less() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let stream = "stream NOTES";
    let subjects = json!(["note:written.*", "redrive.*.note:written.*"]);
    let day = nanos(Duration::from_hours(24));
    for (setting, found) in [
        ("subjects", json!(["note:written.*"])),
        ("max_age", day.clone()),
        ("max_bytes", json!(1024)),
        ("duplicate_window", nanos(Duration::from_secs(1))),
        ("discard", json!("old")),
    ] {
        let declared = nats.stream_config("NOTES").await[setting].take();
        nats.set_stream("NOTES", setting, found.clone()).await;
        let less = drift(stream, setting, &declared, &found);
        assert_eq!(refusal(&nats).await, [less]);
        nats.set_stream("NOTES", setting, declared).await;
    }
    let consumer = "consumer readers on NOTES";
    for (setting, declared, found) in [
        ("max_ack_pending", json!(10_000), json!(10)),
        ("max_deliver", json!(1000), json!(5)),
        (
            "filter_subjects",
            json!(["note:written.*", "redrive.readers.note:written.*"]),
            json!(["note:written.*"]),
        ),
    ] {
        nats.set_consumer(NOTES, READERS, setting, found.clone())
            .await;
        assert_eq!(
            refusal(&nats).await,
            [drift(consumer, setting, &declared, &found)]
        );
        nats.set_consumer(NOTES, READERS, setting, declared).await;
    }
    assert_eq!(nats.stream_config("NOTES").await["subjects"], subjects);
    let replica = bind_only(&nats, &Scripted::acks()).await;
    replica.until_ready().await;
    replica.stop().await;
}

#[tokio::test]
async fn provisioning_raises_what_is_less_and_lowers_nothing() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    nats.set_stream("NOTES", "max_age", json!(0)).await;
    nats.set_stream("NOTES", "max_bytes", json!(1024)).await;
    nats.set_consumer(NOTES, READERS, "max_deliver", json!(5))
        .await;
    nats.set_lease(NOTES, READERS, Duration::from_mins(1)).await;

    let topology = Topology::of::<Notes>();
    let changes = topology
        .provision(nats.client(), NonZeroUsize::MIN)
        .await
        .unwrap();

    let lines: Vec<_> = changes.iter().map(Change::to_string).collect();
    assert_eq!(
        lines,
        [
            "stream NOTES: changed, max_bytes from 1024 to 1073741824",
            "stream DEAD_LETTERS: as declared",
            "consumer archive on NOTES: as declared",
            "consumer readers on NOTES: changed, max_deliver from 5 to 1000",
        ]
    );
    assert_eq!(
        nats.stream_config("NOTES").await["max_age"],
        0,
        "without limit is more"
    );
    let more = topology.verify(nats.client()).await.unwrap();
    let lines: Vec<_> = more.iter().map(Drift::to_string).collect();
    assert_eq!(
        lines,
        ["stream NOTES: max_age is 0, declared 2592000000000000"]
    );
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused_by_those_who_would_create() {
    let nats = TestNats::start().await;
    let subjects = json!(["note:written.*", "redrive.*.note:written.*"]);
    let in_memory = json!({ "name": "NOTES", "subjects": subjects, "storage": "memory" });
    nats.tell("STREAM.CREATE.NOTES", &in_memory).await;

    let provisioned = Topology::of::<Notes>()
        .provision(nats.client(), NonZeroUsize::MIN)
        .await;

    let difference = drift("stream NOTES", "storage", &"\"file\"", &"\"memory\"");
    assert!(
        matches!(&provisioned, Err(TopologyError::Immutable { difference: found }) if *found == difference),
        "{provisioned:?}"
    );
    assert_eq!(nats.stream_config("NOTES").await["storage"], "memory");
}

#[tokio::test]
async fn next_release_adds_a_channel_beside_replicas_of_the_last() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let past = Scripted::<Written, Reader>::acks();
    let old = bind_only(&nats, &past).await;
    old.until_ready().await;
    nats.publish(&Written::on("p", 1)).await;
    nats.until_caught_up(NOTES, READERS).await;
    let erased = Scripted::<Erased, Reader>::acks();
    let present = Scripted::<NextWritten, Reader>::acks();
    let set_up = |runner: common::Runner| {
        runner
            .listen(erased.clone())
            .listen(present.clone())
            .provisioning(Provisioning::BindOnly)
    };

    let too_early = Replica::begin(&nats.connect("next").await, set_up)
        .end()
        .await;
    let Err(RunError::Topology(TopologyError::Drift { differences })) = too_early else {
        panic!("{too_early:?}");
    };
    let settings: Vec<_> = differences
        .iter()
        .map(|drift| (drift.of.as_str(), drift.setting))
        .collect();
    assert_eq!(
        settings,
        [
            ("stream NOTES", "subjects"),
            ("consumer readers on NOTES", "filter_subjects")
        ]
    );

    let changes = Topology::of::<NextNotes>()
        .provision(nats.client(), NonZeroUsize::MIN)
        .await
        .unwrap();
    assert!(
        changes.iter().any(|change| matches!(change, Change::Changed { note: Some(note), .. } if note.contains("up to sequence 1 "))),
        "{changes:?}"
    );
    nats.publish(&Erased {
        page: "p".to_owned(),
    })
    .await;
    nats.publish(&Written::on("p", 2)).await;
    let restarted = bind_only(&nats, &past).await;
    restarted.until_ready().await;
    old.stop().await;
    nats.until_consumer(NOTES, READERS, "waits for one", |state| {
        state.pending == 0 && state.unsettled == 1
    })
    .await;
    let new = Replica::begin(&nats.connect("next").await, set_up);
    new.until_ready().await;
    restarted.stop().await;

    erased.until_called(1).await;
    nats.until_caught_up(NOTES, READERS).await;
    assert!(nats.dead_letters().await.is_empty());
    let lines = past.events().len() + present.events().len();
    assert_eq!(lines, 2, "{past:?} {present:?}");
    new.stop().await;
}

#[tokio::test]
async fn pruning_removes_what_no_line_names_and_nothing_else_does() {
    let nats = TestNats::start().await;
    nats.provision::<NextNotes>().await;
    let stranger = json!({ "stream_name": "NOTES", "config": { "durable_name": "stranger", "ack_policy": "explicit" } });
    nats.tell("CONSUMER.CREATE.NOTES.stranger", &stranger).await;
    nats.publish(&Written::on("p", 1)).await;
    let topology = Topology::of::<Notes>();

    let kept = topology
        .provision(nats.client(), NonZeroUsize::MIN)
        .await
        .unwrap();
    assert!(
        kept.iter()
            .all(|change| matches!(change, Change::Kept { .. })),
        "{kept:?}"
    );
    let changes = topology
        .provision_and_prune(nats.client(), NonZeroUsize::MIN)
        .await
        .unwrap();

    let lines: Vec<_> = changes.iter().map(Change::to_string).collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(
        lines[0].starts_with("stream NOTES: changed, subjects from "),
        "{lines:?}"
    );
    assert!(
        lines[3].starts_with("consumer readers on NOTES: changed, filter_subjects from "),
        "{lines:?}"
    );
    assert_eq!(lines[4], "consumer stranger on NOTES: removed");
    assert_eq!(topology.verify(nats.client()).await.unwrap(), []);
    assert_eq!(
        nats.stream_messages(NOTES).await,
        1,
        "events are not pruned"
    );
}

#[tokio::test]
async fn runner_without_a_listener_for_each_line_of_its_group_does_not_start() {
    let nats = TestNats::start().await;
    let written = Scripted::<NextWritten, Reader>::acks();
    let client = nats.client();

    let unheard = Replica::begin(client, |runner| runner.listen(written.clone()))
        .end()
        .await;
    let twice = Replica::begin(client, |runner| {
        runner.listen(written.clone()).listen(written.twin())
    });
    let twice = twice.end().await;
    let nobody = Replica::begin(client, |runner| runner).end().await;

    assert!(
        matches!(
            unheard,
            Err(RunError::Unheard {
                group: READERS,
                channel: "note:erased"
            })
        ),
        "{unheard:?}"
    );
    assert!(
        matches!(
            twice,
            Err(RunError::Twice {
                channel: "note:written",
                ..
            })
        ),
        "{twice:?}"
    );
    assert!(matches!(nobody, Err(RunError::NoListener)), "{nobody:?}");
    assert_eq!(
        nats.ask("STREAM.INFO.NOTES", &json!({})).await["error"]["code"],
        404,
        "created first"
    );
}

#[tokio::test]
async fn group_reads_one_aggregate_in_one_order() {
    let nats = TestNats::start().await;
    let ledger = Ledger::new().await;
    let database = ledger.database();

    let mixed = Replica::begin(nats.client(), |runner| {
        runner
            .listen_in(database, Teller::<Deposited, EveryVersion>::content())
            .listen_in(database, Teller::<Withdrawn, NewestOnly>::content())
    })
    .end()
    .await;

    assert!(
        matches!(mixed, Err(RunError::MixedOrders { .. })),
        "{mixed:?}"
    );
}

#[tokio::test]
async fn group_keeps_the_accounts_of_a_stream_in_one_database() {
    let nats = TestNats::start().await;
    let (one, other) = (Ledger::new().await, Ledger::new().await);

    let torn = Replica::begin(nats.client(), |runner| {
        runner
            .listen_in(one.database(), Teller::<Deposited, EveryVersion>::content())
            .listen_in(
                other.database(),
                Teller::<Withdrawn, EveryVersion>::content(),
            )
    })
    .end()
    .await;

    assert!(
        matches!(torn, Err(RunError::TwoDatabases { .. })),
        "{torn:?}"
    );
}

#[tokio::test]
async fn server_that_is_too_old_is_refused_by_its_version() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let old = tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let mut client = BufStream::new(client);
        let greeting = json!({ "server_id": "old", "version": "2.11.9", "headers": true, "max_payload": 1_048_576, "proto": 1 });
        client
            .write_all(format!("INFO {greeting}\r\n").as_bytes())
            .await
            .unwrap();
        client.flush().await.unwrap();
        let mut line = String::new();
        while client.read_line(&mut line).await.unwrap_or_default() > 0 {
            if line.starts_with("PING") {
                client.write_all(b"PONG\r\n").await.unwrap();
                client.flush().await.unwrap();
            }
            line.clear();
        }
    });

    let refused = build_client(&ClientConfig::new("modern").url(&url)).await;

    let err = refused.err().unwrap();
    assert!(
        matches!(&err, ConnectError::TooOld { version } if version == "2.11.9"),
        "{err:?}"
    );
    old.abort();
}
