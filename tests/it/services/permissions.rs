//! Least privilege: each service as a user that may do what `sgt permissions` prints, and no more.

use std::num::NonZeroUsize;
use std::time::Duration;

use async_nats::jetstream;
use common::{
    ClientConfig, ORDERS, ORDERS_SERVICE, PAYMENTS_SERVICE, QueueGroup, StreamName, Subjects,
    TICKETS_SERVICE, Topology, build_client,
};
use futures::StreamExt as _;
use integration_tests::services::{Story, System, until};
use integration_tests::{Server, Wire};

use crate::program::sgt;

/// The name of the operator's user.
const SGT: &str = "sgt";

/// A server with users, as whoever sets one up gets it.
pub(super) async fn guarded() -> System {
    let config = sgt(&[], &["permissions", "--all"]).await.ok();
    let system = System::builder().order_ttl(Duration::from_secs(4));
    system.users(&config).start_server().await
}

#[tokio::test]
async fn system_lives_a_full_life_with_what_its_users_may() {
    let system = guarded().await;
    let provisioned = sgt(&system.environment(SGT), &["provision"]).await.ok();
    assert!(
        provisioned.contains("stream DEAD_LETTERS: as declared"),
        "{provisioned}"
    );
    for service in [TICKETS_SERVICE, ORDERS_SERVICE, PAYMENTS_SERVICE] {
        system.start_service(service).await;
    }
    let (alice, bob) = (system.user("alice"), system.user("bob"));

    // Sold, expired by its schedule, and cancelled.
    let ticket = alice.sells("Opera", 2500).await;
    let sold = bob.orders_once_known(ticket).await;
    system.until_story(sold, &Story::awaiting_payment()).await;
    assert_eq!(bob.pays(sold, "tok_visa").await.status, 201);
    system.until_story(sold, &Story::complete()).await;
    let ticket = alice.sells("Concert", 2500).await;
    let expired = bob.orders_once_known(ticket).await;
    system.until_story(expired, &Story::cancelled()).await;
    let again = bob.orders(ticket).await;
    assert_eq!(bob.cancels(again).await.status, 204);
    system.until_story(again, &Story::cancelled()).await;

    // No event, and what kills whoever receives it: both end in the dead letters.
    let mut orders = system.wire(ORDERS_SERVICE.as_str()).await;
    assert_eq!(orders.refusal("PUB order:created.bad 2\r\n{}").await, None);
    let head = "NATS/1.0\r\na: b\rc\r\n\r\n";
    let (head_len, len) = (head.len(), head.len() + 2);
    let killer = format!("HPUB order:created.worse {head_len} {len}\r\n{head}{{}}");
    assert_eq!(orders.refusal(&killer).await, None);
    until_letters(&system, &[("poison", 2), ("undecodable", 2)]).await;
    let operator = system.environment(SGT);
    let said = sgt(
        &operator,
        &["dead-letters", "redrive", "--kind", "undecodable"],
    )
    .await;
    assert!(said.ok().ends_with("2 sent\n"));
    until_letters(&system, &[("poison", 2), ("undecodable", 2)]).await;
    let said = sgt(&operator, &["dead-letters", "drop", "--all", "--yes"])
        .await
        .ok();
    assert!(said.ends_with("4 dropped\n"), "{said}");

    let last = bob.orders(ticket).await;
    system.until_story(last, &Story::awaiting_payment()).await;
    assert_eq!(bob.pays(last, "tok_visa").await.status, 201);
    system.until_story(last, &Story::complete()).await;
    system.stop().await;
}

/// Waits until there are so many letters of each kind.
async fn until_letters(system: &System, expected: &[(&str, u64)]) {
    let operator = system.environment(SGT);
    until(&format!("there are {expected:?}"), async || {
        let groups = sgt(&operator, &["dead-letters", "list", "--json"])
            .await
            .json();
        let groups = groups.as_array().unwrap();
        let count = |kind: &str| {
            let of_kind = groups.iter().filter(|group| group["kind"] == kind);
            of_kind
                .filter_map(|group| group["letters"].as_u64())
                .sum::<u64>()
        };
        let parked = groups.iter().filter_map(|group| group["parked"].as_u64());
        if expected.iter().all(|&(kind, number)| count(kind) == number) {
            Ok(())
        } else {
            Err((groups.clone(), parked.sum::<u64>()))
        }
    })
    .await;
}

/// The server refuses to publish there.
async fn refuses(wire: &mut Wire, subject: &str) {
    let refusal = wire.refusal(&format!("PUB {subject} 0\r\n")).await;
    let refusal = refusal.unwrap_or_else(|| panic!("`{subject}` is allowed"));
    let expected = format!("Permissions Violation for Publish to \"{subject}\"");
    assert!(refusal.contains(&expected), "{refusal}");
}

async fn allows(wire: &mut Wire, subject: &str) {
    let refusal = wire.refusal(&format!("PUB {subject} 0\r\n")).await;
    assert_eq!(refusal, None, "{subject}");
}

// Guard of the tests below: the lists of `Permissions::of` and `of_operator`. Each fails with a wider one.

#[tokio::test]
async fn service_publishes_its_own_events_only() {
    let system = guarded().await;
    let mut tickets = system.wire("tickets-service").await;

    allows(&mut tickets, "ticket:created.k").await;
    for subject in [
        "order:created.k",
        "payment:created.k",
        "ticket:unheard-of.k",
        "ticket:created.k.more",
        "schedule.ticket:created.k",
        "schedule.expiration:complete.k",
        "redrive.orders-service.ticket:created.k",
        "redrive.tickets-service.order:created.k",
        "dead-letter.orders-service.ticket:created.k",
        "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.TICKETS.orders-service",
    ] {
        refuses(&mut tickets, subject).await;
    }
    let mut operator = system.wire(SGT).await;
    refuses(&mut operator, "ticket:created.k").await;
}

#[tokio::test]
async fn service_reads_its_own_consumers_only() {
    let system = guarded().await;
    let mut tickets = system.wire("tickets-service").await;

    allows(
        &mut tickets,
        "$JS.API.CONSUMER.MSG.NEXT.ORDERS.tickets-service",
    )
    .await;
    for subject in [
        "$JS.API.CONSUMER.MSG.NEXT.ORDERS.payments-service",
        "$JS.API.CONSUMER.MSG.NEXT.TICKETS.orders-service",
        "$JS.API.CONSUMER.INFO.ORDERS.payments-service",
        "$JS.API.CONSUMER.CREATE.ORDERS.spy",
        "$JS.API.CONSUMER.CREATE.ORDERS.spy.order:created.*",
        "$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.spy",
        "$JS.API.STREAM.MSG.GET.PAYMENTS",
        "$JS.API.STREAM.MSG.GET.DEAD_LETTERS",
        "$JS.API.DIRECT.GET.PAYMENTS",
    ] {
        refuses(&mut tickets, subject).await;
    }
}

#[tokio::test]
async fn service_changes_no_stream_and_no_consumer() {
    let system = guarded().await;
    for user in [TICKETS_SERVICE, ORDERS_SERVICE, PAYMENTS_SERVICE].map(QueueGroup::as_str) {
        let mut wire = system.wire(user).await;
        for stream in ["TICKETS", "ORDERS", "DEAD_LETTERS"] {
            for request in ["DELETE", "UPDATE", "PURGE", "CREATE", "MSG.DELETE"] {
                refuses(&mut wire, &format!("$JS.API.STREAM.{request}.{stream}")).await;
            }
        }
        refuses(&mut wire, &format!("$JS.API.CONSUMER.DELETE.ORDERS.{user}")).await;
    }
    let mut operator = system.wire(SGT).await;
    refuses(&mut operator, "$JS.API.STREAM.DELETE.TICKETS").await;
    refuses(&mut operator, "$JS.API.STREAM.MSG.DELETE.TICKETS").await;
}

#[tokio::test]
async fn inbox_is_its_owners_alone() {
    let system = guarded().await;
    let mut tickets = system.wire("tickets-service").await;

    assert_eq!(
        tickets.refusal("SUB _INBOX_tickets-service.a.* 2").await,
        None
    );
    for subject in [
        "_INBOX_orders-service.>",
        "_INBOX.>",
        ">",
        "order:created.*",
        "$JS.ACK.>",
    ] {
        let refusal = tickets.refusal(&format!("SUB {subject} 3")).await;
        let refusal = refusal.unwrap_or_else(|| panic!("`{subject}` is allowed"));
        assert!(
            refusal.contains("Permissions Violation for Subscription"),
            "{refusal}"
        );
    }
    refuses(&mut tickets, "_INBOX_orders-service.a.1").await;
}

#[tokio::test]
async fn nobody_acknowledges_for_another() {
    let system = guarded().await;
    let mut tickets = system.wire("tickets-service").await;
    allows(&mut tickets, "$JS.ACK.ORDERS.tickets-service.1.1.1.1.0").await;
    allows(
        &mut tickets,
        "$JS.ACK._.HASH.ORDERS.tickets-service.1.1.1.1.0",
    )
    .await;
    for subject in [
        "$JS.ACK.ORDERS.payments-service.1.1.1.1.0",
        "$JS.ACK._.HASH.ORDERS.payments-service.1.1.1.1.0",
        "$JS.ACK.TICKETS.orders-service.1.1.1.1.0",
    ] {
        refuses(&mut tickets, subject).await;
    }

    // The second form's wildcards take a first form as well, in which another consumer stands where the domain would.
    let mut orders = system.wire("orders-service").await;
    allows(&mut orders, "order:created.k").await;
    unsettled(&system, ORDERS, PAYMENTS_SERVICE).await;
    for rest in ["1.1.1", "1.1.1.0", "1.1.1.1.0"] {
        let forged = format!("$JS.ACK.ORDERS.payments-service.ORDERS.tickets-service.{rest}");
        allows(&mut tickets, &forged).await;
    }
    let info = consumer(&system, ORDERS, PAYMENTS_SERVICE).await;
    assert_eq!(info.num_ack_pending, 1, "{info:?}");
    assert_eq!(info.ack_floor.stream_sequence, 0, "{info:?}");
}

// No guard of ours: a user's permissions are about what it sends, and the server answers wherever it is told to.
// SECURITY.md says so. When a server refuses it, this fails, and that page gets shorter.
#[tokio::test]
async fn server_answers_where_the_one_who_asks_may_not_publish() {
    let system = guarded().await;
    let mut tickets = system.wire("tickets-service").await;
    let asks = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.tickets-service";

    // As if it acknowledged for another: refused, whatever the server would answer.
    let forged = "$JS.ACK.ORDERS.payments-service.1.1.1.1.0";
    let refusal = tickets.refusal(&format!("PUB {asks} {forged} 0\r\n")).await;
    let refusal = refusal.expect("an acknowledgement may be forged");
    assert!(refusal.contains("Publish with Reply"), "{refusal}");

    // What the server says of an event stands where another's event would, and is none: nobody chooses its words.
    let published = "PUB ticket:created.k payment:created.k 2\r\n{}";
    assert_eq!(tickets.refusal(published).await, None);
    until("the answer is stored", async || {
        let payments = jetstream(&system)
            .get_stream_no_info("PAYMENTS")
            .await
            .unwrap();
        let message = payments
            .get_raw_message(1)
            .await
            .map_err(|err| err.to_string())?;
        assert_eq!(message.subject.as_str(), "payment:created.k");
        let answer: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(answer, serde_json::json!({ "stream": "TICKETS", "seq": 1 }));
        Ok::<_, String>(())
    })
    .await;

    // "Nothing is there" is an empty message, and for the API's ear an order.
    let ordered = format!("PUB {asks} $JS.API.STREAM.DELETE.PAYMENTS 16\r\n{{\"no_wait\":true}}");
    assert_eq!(tickets.refusal(&ordered).await, None);
    until("the stream is gone", async || {
        match jetstream(&system).get_stream("PAYMENTS").await {
            Ok(_) => Err("it is still there"),
            Err(_) => Ok(()),
        }
    })
    .await;
}

/// What SECURITY.md recommends: one who asks from an account of its own is answered there, whatever it says.
#[tokio::test]
async fn service_with_an_account_of_its_own_has_nothing_deleted_by_the_server() {
    let server = Server::start(
        r#"
        accounts {
            BUS: {
                jetstream: enabled, users: [{ user: sgt, password: none }]
                exports: [{
                    service: "$JS.API.CONSUMER.MSG.NEXT.ORDERS.tickets-service"
                    response_type: stream, accounts: [TICKETS]
                }]
            }
            TICKETS: {
                users: [{ user: tickets, password: none }]
                imports: [{ service: {
                    account: BUS, subject: "$JS.API.CONSUMER.MSG.NEXT.ORDERS.tickets-service"
                } }]
            }
        }
        "#,
    )
    .await;
    let operator = ClientConfig::new(SGT).url(server.url()).user(SGT, "none");
    let operator = build_client(&operator).await.unwrap();
    let topology = Topology::of::<Subjects>();
    topology
        .provision(&operator, NonZeroUsize::MIN)
        .await
        .unwrap();
    let mut tickets = Wire::of(&server, "tickets", "none").await;

    let delete = "$JS.API.STREAM.DELETE.PAYMENTS";
    assert_eq!(tickets.refusal(&format!("SUB {delete} 2")).await, None);
    let asks = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.tickets-service";
    tickets
        .says(&format!("PUB {asks} {delete} 16\r\n{{\"no_wait\":true}}"))
        .await;

    assert_eq!(tickets.hears().await, delete);
    let jetstream = jetstream::new(operator.nats());
    assert!(jetstream.get_stream("PAYMENTS").await.is_ok());
}

async fn consumer(
    system: &System,
    stream: StreamName,
    group: QueueGroup,
) -> jetstream::consumer::Info {
    let stream = jetstream(system)
        .get_stream_no_info(stream.as_str())
        .await
        .unwrap();
    stream.consumer_info(group.as_str()).await.unwrap()
}

/// Takes a message of a group, as only the operator may, and settles nothing.
async fn unsettled(system: &System, stream: StreamName, group: QueueGroup) {
    let stream = jetstream(system)
        .get_stream_no_info(stream.as_str())
        .await
        .unwrap();
    let consumer: jetstream::consumer::PullConsumer =
        stream.get_consumer(group.as_str()).await.unwrap();
    let mut messages = consumer.batch().max_messages(1).messages().await.unwrap();
    let message = messages.next().await.unwrap().unwrap();
    assert_eq!(message.info().unwrap().stream_sequence, 1);
}

fn jetstream(system: &System) -> jetstream::Context {
    jetstream::new(system.client().nats())
}

#[tokio::test]
async fn permissions_of_one_service_are_a_part_of_the_whole() {
    let whole = sgt(&[], &["permissions", "--all"]).await.ok();
    for user in ["tickets-service", "orders-service", "payments-service", SGT] {
        let entry = sgt(&[], &["permissions", user]).await.ok();
        assert!(whole.contains(&entry), "{user}");
        let password = format!("${}_PASSWORD", user.to_uppercase().replace('-', "_"));
        assert!(
            entry.contains(&format!("password: {password}\n")),
            "{entry}"
        );
    }
    assert!(whole.contains("max_file_store: 1PB"), "{whole}");
}
