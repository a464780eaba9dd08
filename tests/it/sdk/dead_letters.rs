//! What an operator does with what could not be handled: looks at it, sends it again, drops it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::dead_letters::{DeadLetters, Filter, Kind, Letter, RedriveError};
use common::events::{OrderCancelled, OrderCompleted, OrderCreated, OrderId};
use common::testing::sample;
use common::{ORDERS, QueueGroup, TICKETS_SERVICE};
use integration_tests::notes::{NOTES, READERS, Written};
use integration_tests::{
    Act, Archivist, Member, Reader, Replica, Scripted, TestNats, attempts, until,
};
use serde_json::{Value, json};

use crate::program::{Said, sgt};

/// Of the group that sells tickets.
#[derive(Debug, Clone, Copy)]
struct Seller;

impl Member for Seller {
    const GROUP: QueueGroup = TICKETS_SERVICE;
}

/// Who refuses everything until all is mended.
#[derive(Debug, Clone, Default)]
pub(super) struct Mended(Arc<AtomicBool>);

impl Mended {
    pub(super) fn mend(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn listener<M: Member>(&self) -> Scripted<Written, M> {
        let mended = Arc::clone(&self.0);
        Scripted::new(move |_, _| {
            if mended.load(Ordering::SeqCst) {
                Act::Ack
            } else {
                Act::Reject("smudged")
            }
        })
    }
}

pub(super) async fn run(nats: &TestNats, line: &str) -> Said {
    let args: Vec<_> = line.split(' ').collect();
    sgt(
        &nats.environment(),
        &[&["dead-letters"], &args[..]].concat(),
    )
    .await
}

/// All letters that are there.
pub(super) async fn letters(nats: &TestNats) -> Vec<Letter> {
    let dead_letters = DeadLetters::new(nats.client());
    let mut letters = dead_letters.letters(Filter::default()).await.unwrap();
    let mut all = Vec::new();
    while let Some(letter) = letters.next().await.unwrap() {
        all.push(letter);
    }
    all
}

pub(crate) async fn until_letters(nats: &TestNats, number: usize) -> Vec<Letter> {
    until(&format!("there are {number} letters"), async || {
        let letters = letters(nats).await;
        if letters.len() == number {
            Ok(letters)
        } else {
            Err(letters.len())
        }
    })
    .await
}

/// Three events that die of three things, and one more of the first, in the group that sells tickets.
async fn three_kinds(nats: &TestNats) -> (Replica, [OrderId; 4]) {
    let orders = [(); 4].map(|()| OrderId::new());
    let hopeless = orders[1];
    let created = Scripted::<OrderCreated, Seller>::new(move |order, _| {
        if order.id == hopeless {
            Act::Fail("printer on fire")
        } else {
            Act::Reject("there is no such ticket")
        }
    });
    let replica = Replica::start(nats, |runner| {
        runner
            .listen(created)
            .listen(Scripted::<OrderCancelled, Seller>::acks())
            .listen(Scripted::<OrderCompleted, Seller>::acks())
    })
    .await;
    for id in [orders[0], orders[1], orders[3]] {
        let order = OrderCreated {
            id,
            ..sample::order_created()
        };
        nats.publish(&order).await;
        nats.until_caught_up(ORDERS, TICKETS_SERVICE).await;
    }
    nats.put(&format!("order:cancelled.{}", orders[2]), "{\"id\":1}")
        .await;
    until_letters(nats, 4).await;
    (replica, orders)
}

#[tokio::test]
async fn letters_are_listed_by_group_channel_and_reason() {
    let nats = TestNats::start().await;
    nats.provision::<common::Subjects>().await;
    assert_eq!(run(&nats, "list").await.ok(), "no dead letters\n");
    let (replica, orders) = three_kinds(&nats).await;

    let table = run(&nats, "list").await.ok();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    let words: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(
        words[..4],
        ["tickets-service", "order:cancelled", "undecodable", "1"],
        "{table}"
    );
    assert!(lines[2].contains("rejected"), "{table}");
    assert!(lines[2].ends_with("there is no such ticket"), "{table}");
    assert!(lines[3].ends_with("printer on fire"), "{table}");

    let groups = run(&nats, "list --json").await.json();
    let rejected = &groups[1];
    assert_eq!(rejected["kind"], "rejected");
    assert_eq!(rejected["letters"], 2);
    assert_eq!(rejected["sequences"], json!([1, 3]));
    assert_eq!(rejected["oldest"]["sequence"], 1);
    assert_eq!(rejected["newest"]["sequence"], 3);
    assert_eq!(groups[2]["kind"], "attempts-exhausted");

    let counted = async |filter: &str| {
        let groups = run(&nats, &format!("list --json {filter}")).await.json();
        let groups = groups.as_array().unwrap().clone();
        let numbers = groups
            .iter()
            .flat_map(|group| group["sequences"].as_array().unwrap());
        numbers
            .map(|number| number.as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(counted("--kind undecodable").await, [4]);
    assert_eq!(counted("--channel order:created").await, [1, 3, 2]);
    assert_eq!(counted(&format!("--key {}", orders[1])).await, [2]);
    assert_eq!(counted("--group orders-service").await, [0; 0]);
    assert_eq!(counted("--group *").await, [0; 0], "no group has that name");

    let shown = run(&nats, "show 2").await.ok();
    for expected in [
        format!("#2 tickets-service order:created.{}", orders[1]),
        "kind      attempts-exhausted".to_owned(),
        "reason    printer on fire".to_owned(),
        "attempts  3".to_owned(),
        "redrives  0".to_owned(),
        "origin    ORDERS #2, stored ".to_owned(),
        "header    ce-source: /orders-service".to_owned(),
        format!("payload   {{\"id\":\"{}\"", orders[1]),
    ] {
        assert!(shown.contains(&expected), "{expected}: {shown}");
    }
    let shown = run(&nats, "show 2 --json").await.json();
    assert_eq!(shown["payload"]["id"], orders[1].to_string());
    assert!(
        run(&nats, "show 9")
            .await
            .failed()
            .contains("no dead letter #9")
    );
    replica.stop().await;
}

#[tokio::test]
async fn dry_run_says_what_would_happen_and_changes_nothing() {
    let nats = TestNats::start().await;
    let (replica, orders) = three_kinds(&nats).await;

    let said = run(&nats, "redrive --all --dry-run").await.ok();

    let lines: Vec<_> = said.lines().collect();
    let subject =
        |order: usize, channel| format!("redrive.tickets-service.{channel}.{}", orders[order]);
    let version = sample::order_created().version;
    assert!(
        lines[0].ends_with(&format!(
            "would be sent to `{}`, version {version}",
            subject(0, "order:created")
        )),
        "{said}"
    );
    let undecodable = format!(
        "`{}`, and die again: not decodable:",
        subject(2, "order:cancelled")
    );
    assert!(lines[3].contains(&undecodable), "{said}");
    assert_eq!(lines[4], "4 would be sent");
    assert_eq!(letters(&nats).await.len(), 4);
    assert!(nats.stored("ORDERS", "redrive.>").await.is_empty());
    replica.stop().await;
}

#[tokio::test]
async fn letter_is_sent_to_the_group_that_failed_and_to_no_other_as_the_same_event() {
    let nats = TestNats::start().await;
    let mended = Mended::default();
    let (reader, archivist) = (
        mended.listener::<Reader>(),
        Scripted::<Written, Archivist>::acks(),
    );
    let replica = Replica::start(&nats, |runner| {
        runner.listen(reader.clone()).listen(archivist.clone())
    })
    .await;
    for page in ["a", "b", "c"] {
        nats.publish(&Written::on(page, 1)).await;
    }
    // One that names no id: it is made of the place, and a copy has another.
    nats.put(
        "note:written.d",
        serde_json::to_vec(&Written::on("d", 1)).unwrap(),
    )
    .await;
    let before = until_letters(&nats, 4).await;
    mended.mend();

    let letter = before
        .iter()
        .find(|l| l.key.as_deref() == Some("b"))
        .unwrap();
    let said = run(&nats, &format!("redrive {} 99", letter.sequence))
        .await
        .failed();
    assert!(
        said.contains("sent to `redrive.readers.note:written.b`"),
        "{said}"
    );
    assert!(said.contains("#99: there is no such letter"), "{said}");
    reader.until_called(5).await;
    assert_eq!(letters(&nats).await.len(), 3, "only the one that was named");

    assert_eq!(run(&nats, "redrive --group archive").await.ok(), "0 sent\n");
    let said = run(
        &nats,
        "redrive --group readers --channel note:written --kind rejected",
    )
    .await
    .ok();
    assert!(said.ends_with("3 sent\n"), "{said}");

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(letters(&nats).await, []);
    let mut ids = BTreeMap::<_, Vec<_>>::new();
    for call in reader.calls() {
        let metadata = &call.metadata;
        let id = (metadata.id().to_owned(), metadata.source().to_owned());
        ids.entry(metadata.key().clone()).or_default().push(id);
    }
    for (key, ids) in ids {
        assert_eq!(ids.len(), 2, "{key}");
        assert_eq!(ids[0], ids[1], "{key} is another event now");
    }
    assert_eq!(archivist.calls().len(), 4, "nobody else hears of it");
    replica.stop().await;
}

#[tokio::test]
async fn rate_is_kept() {
    let nats = TestNats::start().await;
    let mended = Mended::default();
    let replica = readers(&nats, &mended.listener()).await;
    for line in 0..5 {
        nats.publish(&Written::on("p", line)).await;
    }
    until_letters(&nats, 5).await;
    mended.mend();

    let began = Instant::now();
    let said = run(&nats, "redrive --all --rate 10").await.ok();

    assert!(said.ends_with("5 sent\n"), "{said}");
    let took = began.elapsed();
    // Guard: `pace` in `sgt/src/dead_letters/redrive.rs`.
    assert!(took >= Duration::from_millis(400), "{took:?}");
    replica.stop().await;
}

/// A replica of the readers alone.
pub(super) async fn readers(nats: &TestNats, listener: &Scripted<Written, Reader>) -> Replica {
    let archivist = Scripted::<Written, Archivist>::acks();
    Replica::start(nats, |runner| {
        runner.listen(listener.clone()).listen(archivist)
    })
    .await
}

#[tokio::test]
async fn letter_that_died_again_is_parked_and_says_how_often() {
    let nats = TestNats::start().await;
    let reader = Scripted::<Written, Reader>::always(Act::Reject("smudged"));
    let replica = readers(&nats, &reader).await;
    nats.publish(&Written::on("p", 1)).await;
    let first = until_letters(&nats, 1).await.remove(0);
    assert_eq!(first.redrives, 0);

    run(&nats, "redrive --all").await.ok();
    reader.until_called(2).await;
    let again = until_letters(&nats, 1).await.remove(0);
    // Guard: `redrives` in `common/src/dead_letter.rs` and in `headers_of_copy`.
    assert_eq!(again.redrives, 1);

    let said = run(&nats, "redrive --all").await.ok();
    assert!(
        said.contains("parked, for it was sent again once before"),
        "{said}"
    );
    assert!(
        said.ends_with("0 sent, 1 parked (--parked sends them too)\n"),
        "{said}"
    );
    let groups = run(&nats, "list --json").await.json();
    assert_eq!(groups[0]["parked"], 1);
    assert_eq!(reader.calls().len(), 2);

    let said = run(&nats, "redrive --all --parked").await.ok();
    assert!(said.ends_with("1 sent\n"), "{said}");
    reader.until_called(3).await;
    until("it died a third time", async || {
        match &letters(&nats).await[..] {
            [letter] if letter.redrives == 2 => Ok(()),
            other => Err(other.to_vec()),
        }
    })
    .await;
    let said = run(&nats, "redrive --all --park-at 3").await.ok();
    assert!(said.ends_with("1 sent\n"), "{said}");
    replica.stop().await;
}

#[tokio::test]
async fn drop_needs_a_yes_or_a_number_and_says_what_it_means() {
    let nats = TestNats::start().await;
    let (replica, _) = three_kinds(&nats).await;

    let said = run(&nats, "drop --group tickets-service").await.failed();
    assert!(
        said.contains("4 would be dropped; nothing is without --yes"),
        "{said}"
    );
    assert!(said.contains("its version is not passed over"), "{said}");
    assert_eq!(letters(&nats).await.len(), 4);

    let said = run(&nats, "drop 1").await.ok();
    assert!(said.contains("holds what comes after it"), "{said}");
    assert!(said.ends_with("1 dropped\n"), "{said}");
    let said = run(&nats, "drop --kind undecodable --yes").await.ok();
    assert!(said.ends_with("1 dropped\n"), "{said}");
    assert!(
        run(&nats, "drop 1")
            .await
            .failed()
            .contains("#1: there is no such letter")
    );
    let left: Vec<_> = letters(&nats).await.iter().map(|l| l.sequence).collect();
    assert_eq!(left, [2, 3]);
    assert!(nats.stored("ORDERS", "redrive.>").await.is_empty());
    replica.stop().await;
}

#[tokio::test]
async fn message_that_the_server_gave_up_is_found_and_sent_again() {
    let nats = TestNats::start().await;
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let reader = Scripted::<Written, Reader>::new(move |_, _| {
        if is_mended.load(Ordering::SeqCst) {
            Act::Ack
        } else {
            Act::Fail("not yet")
        }
    });
    let archivist = Scripted::<Written, Archivist>::acks();
    let replica = Replica::start(&nats, |runner| {
        let runner = runner.listen(reader.clone()).listen(archivist);
        runner.retry(attempts(100))
    })
    .await;
    // The server's own limit, which our policies never come to.
    nats.set_consumer(NOTES, READERS, "max_deliver", json!(2))
        .await;
    let stored = nats.publish(&Written::on("p", 1)).await;

    // Guard: the advisories among the subjects of `Declared::dead_letters`.
    let letter = until_letters(&nats, 1).await.remove(0);

    assert_eq!(letter.kind, Some(Kind::GivenUp));
    assert_eq!(letter.group, "readers");
    assert_eq!(letter.channel.as_deref(), Some("note:written"));
    assert_eq!(letter.key.as_deref(), Some("p"));
    assert_eq!(letter.attempts, 2);
    let origin = letter.origin.as_ref().unwrap();
    assert_eq!(
        (origin.stream.as_str(), origin.sequence),
        ("NOTES", stored.sequence)
    );
    let groups = run(&nats, "list --json --kind given-up").await.json();
    assert_eq!(groups[0]["letters"], 1);
    let shown = run(&nats, "show 1").await.ok();
    assert!(
        shown.contains("payload   {\"page\":\"p\",\"line\":1}"),
        "{shown}"
    );

    mended.store(true, Ordering::SeqCst);
    let said = run(&nats, "redrive --all").await.ok();
    assert!(said.ends_with("1 sent\n"), "{said}");
    let calls = reader.until_called(3).await;
    assert_eq!(calls[2].metadata.id(), calls[0].metadata.id());
    assert_eq!(letters(&nats).await, []);
    replica.stop().await;
}

#[tokio::test]
async fn poison_is_shown_and_not_sent_again() {
    let nats = TestNats::start().await;
    nats.provision::<integration_tests::notes::Notes>().await;
    let mut wire = nats.wire().await;
    wire.publish("note:written.p", b"a: b\rc\r\n", b"{\"page\":\"p\"}")
        .await;
    let replica = readers(&nats, &Mended::default().listener()).await;
    let both = until_letters(&nats, 2).await;
    assert!(both.iter().all(|letter| letter.kind == Some(Kind::Poison)));

    let said = run(&nats, "redrive --all").await.failed();
    assert!(said.contains("it cannot be sent again as it is"), "{said}");
    let shown = run(&nats, "show 1").await.ok();
    assert!(shown.contains("payload   {\"page\":\"p\"}"), "{shown}");
    assert_eq!(letters(&nats).await.len(), 2);
    let said = run(&nats, "drop 1 2").await.ok();
    assert!(said.ends_with("2 dropped\n"), "{said}");
    replica.stop().await;
}

#[tokio::test]
async fn letter_that_anybody_wrote_is_listed_and_not_sent() {
    let nats = TestNats::start().await;
    nats.provision::<integration_tests::notes::Notes>().await;
    nats.put("dead-letter.readers.note:written.p", "?").await;
    nats.put("dead-letter.readers", "no letter at all").await;

    let letter = until_letters(&nats, 1).await.remove(0);

    assert_eq!((letter.kind, letter.origin.clone()), (None, None));
    let refused = DeadLetters::new(nats.client()).prepare(&letter).await;
    assert!(
        matches!(refused, Err(RedriveError::NoOrigin)),
        "{refused:?}"
    );
    let groups = run(&nats, "list --json").await.json();
    assert_eq!(groups[0]["kind"], Value::from("?"));
}
