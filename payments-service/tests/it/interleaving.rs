//! Every order in which a request, its loss, a second request, a cancellation and the worker can follow each other.

use common::events::OrderId;
use payments_service::{Cashier, ChargeAnswer, OutcomeUnknown};
use tokio::task::JoinHandle;

use crate::bank::{Call, Road};
use crate::books::Books;
use crate::shop::{PATIENT, Shop, pay};

/// What happens to one order, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A request is let through, and sets out to the gateway.
    Claim,
    /// It reaches the gateway.
    Arrive,
    /// Its answer reaches the requester.
    Answer,
    /// The requester's process is killed.
    Crash,
    /// Another request, from another replica, with a card that is good, runs from beginning to end.
    PayAgain,
    /// The order is cancelled.
    Cancel,
    /// The deadline of every request passes, and the worker looks.
    Work,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cancelled {
    Yes,
    No,
}

#[tokio::test]
async fn request_that_is_answered() {
    let request = [Step::Claim, Step::Arrive, Step::Answer];
    for card in ["tok_visa", "tok_chargeDeclined"] {
        check(
            card,
            &[&request, &[Step::Cancel], &[Step::Work], &[Step::PayAgain]],
        )
        .await;
        check(card, &[&request, &[Step::Work], &[Step::PayAgain]]).await;
    }
}

#[tokio::test]
async fn request_whose_process_is_killed_when_it_has_set_out() {
    // The request itself may arrive at any time after that, or never.
    let request = [Step::Claim, Step::Crash, Step::Arrive];
    for card in ["tok_visa", "tok_chargeDeclined"] {
        check(
            card,
            &[&request, &[Step::Cancel], &[Step::Work], &[Step::PayAgain]],
        )
        .await;
        check(card, &[&request, &[Step::Work], &[Step::PayAgain]]).await;
        check(
            card,
            &[
                &request[..2],
                &[Step::Cancel],
                &[Step::Work],
                &[Step::PayAgain],
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn request_whose_process_is_killed_when_it_is_charged() {
    let request = [Step::Claim, Step::Arrive, Step::Crash];
    for card in ["tok_visa", "tok_chargeDeclined"] {
        check(
            card,
            &[&request, &[Step::Cancel], &[Step::Work], &[Step::PayAgain]],
        )
        .await;
        check(card, &[&request, &[Step::Work], &[Step::PayAgain]]).await;
    }
}

/// Runs every interleaving of the threads, each on an order of its own, and looks at the books when everything
/// has come to rest.
#[track_caller]
fn check(card: &'static str, threads: &[&[Step]]) -> impl Future<Output = ()> {
    let courses = interleavings(threads);
    let at = std::panic::Location::caller();
    async move {
        let shop = Shop::open().await;
        let mut ended = Vec::new();
        for steps in courses {
            let (order, cancelled) = run(&shop, card, &steps).await;
            ended.push((order, cancelled, steps));
        }

        let books = shop.all_books().await;
        for (order, cancelled, steps) in ended {
            let books = books.get(&order).cloned().unwrap_or_default();
            let good = match cancelled {
                Cancelled::Yes => [
                    Books::untouched(),
                    Books::unpaid("declined"),
                    Books::unpaid("lapsed"),
                    Books::refunded(),
                ]
                .contains(&books),
                Cancelled::No => books == Books::paid(),
            };
            assert!(good, "{card}, {steps:?} from {at}: {books:?}");
        }
    }
}

/// Lets the steps happen to a new order, and then everything come to rest.
async fn run(shop: &Shop, card: &'static str, steps: &[Step]) -> (OrderId, Cancelled) {
    let order = shop.order().await;
    let road = Road::to(shop.sandbox());
    let cashier = shop.cashier_at(road.clone(), PATIENT);
    let mut request = Request::NotYet;
    let mut cancelled = Cancelled::No;
    for step in steps {
        match step {
            Step::Claim => request = Request::send(&cashier, &road, order, card).await,
            Step::Arrive => request.arrive().await,
            Step::Answer => request.answer().await,
            Step::Crash => request.crash().await,
            Step::PayAgain => {
                // Refused or not, what matters is in the books.
                let _ = pay(&shop.cashier(), order, "tok_visa").await;
            }
            Step::Cancel => {
                shop.cancel(order).await.unwrap();
                cancelled = Cancelled::Yes;
            }
            Step::Work => {
                shop.outlast(PATIENT);
                shop.work(&cashier).await;
            }
        }
    }

    for _ in 0..2 {
        shop.outlast(PATIENT);
        shop.work(&cashier).await;
    }
    if cancelled == Cancelled::No {
        // Whatever happened before, the buyer can pay in the end, or has paid.
        let _ = pay(&shop.cashier(), order, "tok_visa").await;
    }
    (order, cancelled)
}

/// The first request for an order.
#[derive(Debug)]
enum Request {
    NotYet,
    /// It was refused before it set out.
    Refused,
    OnItsWay {
        requester: JoinHandle<()>,
        call: Call,
        answer: Option<Answer>,
    },
    Over,
}

type Answer = Result<ChargeAnswer, OutcomeUnknown>;

impl Request {
    async fn send(
        cashier: &Cashier<Road>,
        road: &Road,
        order: OrderId,
        card: &'static str,
    ) -> Self {
        let cashier = cashier.clone();
        let mut requester = tokio::spawn(async move {
            let _ = pay(&cashier, order, card).await;
        });
        tokio::select! {
            biased;
            call = road.call() => Self::OnItsWay { requester, call, answer: None },
            ended = &mut requester => {
                ended.unwrap();
                Self::Refused
            }
        }
    }

    async fn arrive(&mut self) {
        if let Self::OnItsWay { call, answer, .. } = self {
            *answer = Some(call.arrive().await);
        }
    }

    async fn answer(&mut self) {
        if let Self::OnItsWay {
            requester,
            call,
            answer: Some(answer),
        } = std::mem::replace(self, Self::Over)
        {
            call.answer(answer);
            requester.await.unwrap();
        }
    }

    async fn crash(&mut self) {
        if let Self::OnItsWay { requester, .. } = self {
            requester.abort();
            assert!(requester.await.unwrap_err().is_cancelled());
        }
    }
}

/// Every way to take the threads' steps in turns, each thread's own in order.
fn interleavings(threads: &[&[Step]]) -> Vec<Vec<Step>> {
    if threads.iter().all(|thread| thread.is_empty()) {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, thread) in threads.iter().enumerate() {
        let Some((first, rest)) = thread.split_first() else {
            continue;
        };
        let mut remaining = threads.to_vec();
        remaining[index] = rest;
        for tail in interleavings(&remaining) {
            all.push([*first].into_iter().chain(tail).collect());
        }
    }
    all
}

#[test]
fn interleavings_are_all_there_are() {
    let request = [Step::Claim, Step::Arrive, Step::Answer];
    // 6! / 3!
    assert_eq!(
        interleavings(&[&request, &[Step::Cancel], &[Step::Work], &[Step::PayAgain]]).len(),
        120
    );
}
