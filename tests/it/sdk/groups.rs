//! Who is given which event: replicas of a group share, groups do not, and what is held is held on to.

use std::num::NonZeroUsize;
use std::time::Duration;

use integration_tests::notes::{ARCHIVE, Erased, NOTES, NextWritten, Notes, READERS, Written};
use integration_tests::{
    Act, Archivist, Gate, Member, Reader, Replica, Scripted, TestNats, long_enough_for, until,
};

#[tokio::test]
async fn replicas_share_what_every_group_is_given() {
    let nats = TestNats::start().await;
    let reader = Scripted::<Written, Reader>::acks();
    let twin = reader.twin();
    let archivist = Scripted::<Written, Archivist>::acks();
    let replicas = [
        Replica::of(&nats, &reader).await,
        Replica::of(&nats, &twin).await,
        Replica::of(&nats, &archivist).await,
    ];

    let events = lines(20, 10);
    for result in nats.publisher().publish_all(&events).await {
        result.unwrap();
    }

    nats.until_caught_up(NOTES, READERS).await;
    nats.until_caught_up(NOTES, ARCHIVE).await;
    let (one, other) = (reader.events(), twin.events());
    assert!(
        !one.is_empty() && !other.is_empty(),
        "one replica did it all"
    );
    assert_eq!(sorted([one, other].concat()), sorted(events.clone()));
    assert_eq!(sorted(archivist.events()), sorted(events));
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test]
async fn group_that_comes_later_is_given_what_was_before() {
    let nats = TestNats::start().await;
    nats.provision::<Notes>().await;
    let events = lines(3, 3);
    for event in &events {
        nats.publish(event).await;
    }

    let listener = Scripted::<Written, Reader>::acks();
    let replica = Replica::of(&nats, &listener).await;

    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(sorted(listener.events()), sorted(events));
    replica.stop().await;
}

#[tokio::test]
async fn events_of_a_page_come_one_after_the_other_and_those_of_others_meanwhile() {
    let nats = TestNats::start().await;
    let (gate, listener) = behind_a_gate(|written| written.page == "a");
    let replica = Replica::of(&nats, &listener).await;

    for line in 1..=5 {
        nats.publish(&Written::on("a", line)).await;
        nats.publish(&Written::on("b", line)).await;
    }
    until("the other page is read", async || {
        let read = of_page("b", &listener).len();
        if read == 5 { Ok(()) } else { Err(read) }
    })
    .await;

    let first_only = [Written::on("a", 1)];
    assert_eq!(of_page("a", &listener), first_only, "two of a page at once");
    gate.open();
    nats.until_caught_up(NOTES, READERS).await;
    for page in ["a", "b"] {
        let in_order: Vec<_> = (1..=5).map(|line| Written::on(page, line)).collect();
        assert_eq!(of_page(page, &listener), in_order);
    }
    replica.stop().await;
}

#[tokio::test]
async fn events_of_a_page_come_in_order_across_channels() {
    let nats = TestNats::start().await;
    let gate = Gate::shut();
    let written = Scripted::<NextWritten, Reader>::always(Act::AckBehind(gate.clone()));
    let erased = Scripted::<Erased, Reader>::acks();
    let replica = Replica::start(&nats, |runner| {
        runner.listen(written.clone()).listen(erased.clone())
    })
    .await;
    let erase = |page: &str| Erased {
        page: page.to_owned(),
    };

    nats.publish(&Written::on("a", 1)).await;
    nats.publish(&erase("a")).await;
    nats.publish(&erase("b")).await;
    erased.until_called(1).await;

    assert_eq!(
        erased.events(),
        [erase("b")],
        "erased before it was written"
    );
    gate.open();
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(written.calls().len(), 1);
    assert_eq!(erased.events(), [erase("b"), erase("a")]);
    replica.stop().await;
}

#[tokio::test]
async fn no_more_is_handled_at_once_than_was_said_and_little_is_fetched_ahead() {
    let nats = TestNats::start().await;
    let gate = Gate::shut();
    let listener = Scripted::<Written, Reader>::always(Act::AckBehind(gate.clone()));
    nats.provision::<Notes>().await;
    for event in lines(30, 1) {
        nats.publish(&event).await;
    }
    let three = NonZeroUsize::new(3).unwrap();
    let replica = Replica::start(&nats, |runner| {
        runner.listen(listener.clone()).concurrency(three)
    })
    .await;

    listener.until_called(3).await;
    long_enough_for("a fourth to begin", Duration::from_millis(200)).await;

    assert_eq!(listener.calls().len(), 3);
    let state = nats.consumer(NOTES, READERS).await.unwrap();
    assert_eq!(state.unsettled, 6, "others could have handled them");
    gate.open();
    nats.until_caught_up(NOTES, READERS).await;
    assert_eq!(listener.calls().len(), 30);
    replica.stop().await;
}

#[tokio::test]
async fn group_that_is_stuck_holds_up_no_other() {
    let nats = TestNats::start().await;
    let stuck = Scripted::<Written, Reader>::always(Act::Unavailable("no glasses"));
    let archivist = Scripted::<Written, Archivist>::acks();
    let replica = Replica::start(&nats, |runner| {
        runner.listen(stuck.clone()).listen(archivist.clone())
    })
    .await;

    let events = lines(10, 10);
    for result in nats.publisher().publish_all(&events).await {
        result.unwrap();
    }

    nats.until_caught_up(NOTES, ARCHIVE).await;
    assert_eq!(sorted(archivist.events()), sorted(events));
    replica.until_not_ready("no glasses").await;
    replica.stop().await;
}

/// A listener that takes events, and with those of some waits until the gate is opened.
pub(crate) fn behind_a_gate(
    waits: impl Fn(&Written) -> bool + Send + Sync + 'static,
) -> (Gate, Scripted<Written, Reader>) {
    let gate = Gate::shut();
    let shut = gate.clone();
    let listener = Scripted::new(move |event, _| {
        if waits(event) {
            Act::AckBehind(shut.clone())
        } else {
            Act::Ack
        }
    });
    (gate, listener)
}

/// So many lines on so many pages each.
pub(crate) fn lines(pages: u32, lines: u32) -> Vec<Written> {
    let all = (0..lines).flat_map(|line| (0..pages).map(move |page| (page, line)));
    all.map(|(page, line)| Written::on(&format!("p{page}"), line))
        .collect()
}

fn of_page<M: Member>(page: &str, listener: &Scripted<Written, M>) -> Vec<Written> {
    let mut events = listener.events();
    events.retain(|written| written.page == page);
    events
}

pub(crate) fn sorted(mut events: Vec<Written>) -> Vec<Written> {
    events.sort_by(|one, other| (&one.page, one.line).cmp(&(&other.page, other.line)));
    events
}
