//! Whatever order events come in, and however often: what is applied is what the order of versions says.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use super::super::super::Tx;
use super::super::super::fixture::{Deposited, Newest, enter};
use super::*;
use crate::QueueGroup;
use crate::failure::Failure;

/// The versions of each account are 1 to this.
const LAST: u64 = 5;
const ACCOUNTS_OF_A_CASE: usize = 3;

/// An account and a version of it.
type Change = (usize, u64);

fn change() -> impl Strategy<Value = Change> {
    (0..ACCOUNTS_OF_A_CASE, 1..=LAST)
}

/// Every version of every account in any order, each at least once, and some more often.
fn deliveries() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(change(), 0..12).prop_flat_map(|extra| {
        let each = |account| (1..=LAST).map(move |number| (account, number));
        let mut all: Vec<_> = (0..ACCOUNTS_OF_A_CASE).flat_map(each).collect();
        all.extend(extra);
        Just(all).prop_shuffle()
    })
}

/// Rejects some changes until they are mended.
#[derive(Debug, Clone, Default)]
struct Picky {
    broken: Arc<Mutex<BTreeSet<(String, i64)>>>,
}

impl TransactionalListener for Picky {
    type Event = Deposited;

    const QUEUE_GROUP: QueueGroup = BANK;

    async fn apply(&self, event: Deposited, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let change = (event.account, event.amount);
        enter(tx, &change.0, change.1).await?;
        if self.broken.lock().unwrap().contains(&change) {
            return Err(Failure::reject("broken"));
        }
        Ok(())
    }
}

/// One case on accounts of its own.
struct Case {
    accounts: Vec<String>,
    database: Database,
    ledger: GroupLedger,
}

impl Case {
    fn new(database: &Database, number: u64) -> Self {
        let account = |at| format!("case{number}-{at}");
        Self {
            accounts: (0..ACCOUNTS_OF_A_CASE).map(account).collect(),
            database: database.clone(),
            ledger: ledger(database),
        }
    }

    fn event(&self, (account, number): Change) -> Incoming {
        incoming(&deposit(&self.accounts[account], number), number)
    }

    /// The same events, each under one id however often it comes.
    fn events(&self, changes: &[Change]) -> Vec<Incoming> {
        let mut made = std::collections::BTreeMap::new();
        let event = |change: &Change| {
            let event = made.entry(*change).or_insert_with(|| self.event(*change));
            event.clone()
        };
        changes.iter().map(event).collect()
    }

    async fn entered(&self, account: usize) -> Vec<i64> {
        entries(&self.database, &self.accounts[account]).await
    }

    /// Hands the event over and then every held successor, as the runner does. What is rejected is a letter.
    async fn hand<L: TransactionalListener>(
        &self,
        listener: &InTransaction<L>,
        event: &Incoming,
        letters: &mut Vec<Incoming>,
    ) {
        match hand(listener, event).await {
            Ok(Handled::Done { successor: true }) => (),
            Ok(_) => return,
            Err(_) => return letters.push(event.clone()),
        }
        while let Some(held) = self.ledger.next_held(event.metadata.key()).await.unwrap() {
            let next = brought_back(held.clone());
            if hand(listener, &next).await.is_err() {
                self.ledger.drop_held(&held).await.unwrap();
                return letters.push(next);
            }
        }
    }
}

/// What is applied of an account of which some versions are broken.
fn up_to(first_broken: u64) -> Vec<i64> {
    (1..first_broken)
        .map(|number| number.cast_signed() * 10)
        .collect()
}

fn run<S: Strategy>(
    strategy: &S,
    case: impl Fn(&Runtime, &Case, S::Value) -> Result<(), TestCaseError>,
) {
    let runtime = Runtime::new().unwrap();
    let scratch = runtime.block_on(Scratch::new());
    let database = runtime.block_on(scratch.open());
    let number = Cell::new(0);
    let config = Config {
        cases: 40,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(strategy, |value| {
            number.set(number.get() + 1);
            case(&runtime, &Case::new(&database, number.get()), value)
        })
        .unwrap();
}

// Guard: `Candidate::follow` moves from the version before only.
#[test]
fn every_version_is_applied_once_and_in_order_and_a_dead_one_when_it_is_redriven() {
    let broken = prop::collection::btree_set(change(), 0..4);
    run(&(deliveries(), broken), |runtime, case, (order, broken)| {
        let picky = Picky::default();
        let listener = InTransaction::new(&case.database, picky.clone());
        let name = |(account, number): &Change| {
            (case.accounts[*account].clone(), number.cast_signed() * 10)
        };
        *picky.broken.lock().unwrap() = broken.iter().map(name).collect();
        let mut letters = Vec::new();
        runtime.block_on(async {
            for event in case.events(&order) {
                case.hand(&listener, &event, &mut letters).await;
            }
        });
        for account in 0..ACCOUNTS_OF_A_CASE {
            let of_account = broken.iter().filter(|(of, _)| *of == account);
            let first = of_account.map(|(_, number)| *number).min();
            let expected = up_to(first.unwrap_or(LAST + 1));
            prop_assert_eq!(runtime.block_on(case.entered(account)), expected);
        }

        // What stands behind a redriven one may be broken too, and dies then.
        picky.broken.lock().unwrap().clear();
        runtime.block_on(async {
            while let Some(letter) = letters.pop() {
                case.hand(&listener, &letter, &mut letters).await;
            }
        });
        for account in 0..ACCOUNTS_OF_A_CASE {
            let entered = runtime.block_on(case.entered(account));
            prop_assert_eq!(entered, up_to(LAST + 1));
        }
        let held = runtime.block_on(held_versions(&case.database));
        prop_assert_eq!(held, Vec::<i64>::new());
        Ok(())
    });
}

// Guard: `Candidate::overtake` moves forward only.
#[test]
fn newest_only_is_applied_whenever_it_is_newer_than_all_before() {
    run(&deliveries(), |runtime, case, order| {
        let listener = InTransaction::new(&case.database, Newest);
        let mut letters = Vec::new();
        runtime.block_on(async {
            for event in case.events(&order) {
                case.hand(&listener, &event, &mut letters).await;
            }
        });
        prop_assert!(letters.is_empty());
        for account in 0..ACCOUNTS_OF_A_CASE {
            let mut expected = Vec::new();
            for &(_, number) in order.iter().filter(|(of, _)| *of == account) {
                let amount = number.cast_signed() * 10;
                if expected.last().is_none_or(|last| *last < amount) {
                    expected.push(amount);
                }
            }
            prop_assert_eq!(runtime.block_on(case.entered(account)), expected);
        }
        Ok(())
    });
}
