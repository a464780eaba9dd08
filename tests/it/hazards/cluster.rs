//! Three servers that store everything three times: one of them is always in trouble, and nothing is lost.
//!
//! Guard of all: a cluster is asked again that has no leader yet (`patiently` in `client/election.rs`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use integration_tests::notes::{ACCOUNTS, BANK, Bank, Deposited, NOTES, Notes, Written};
use integration_tests::{
    EveryVersion, Ledger, Load, Pulse, Replica, Teller, TestNats, server_of, until, until_within,
};

use super::bank::tellers_with;

/// Longer than the servers take to elect leaders and clients to find them, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Two replicas of a bank on one database, and deposits that come in all the time.
struct Business {
    nats: TestNats,
    ledger: Ledger,
    replicas: [Replica; 2],
    load: Load,
    applied: Pulse,
}

impl Business {
    async fn start() -> Self {
        let nats = TestNats::in_cluster().await;
        nats.provision::<Bank>().await;
        let ledger = Ledger::new().await;
        let sibling = ledger.reopen().await;
        let applied = Pulse::default();
        let teller = || {
            let applied = applied.clone();
            Teller::<_, EveryVersion>::with(move |_: &Deposited| {
                applied.beat();
                Ok(())
            })
        };
        let replicas = [
            Replica::start(&nats, tellers_with(ledger.database(), teller())).await,
            Replica::start(&nats, tellers_with(&sibling, teller())).await,
        ];
        let load = Load::start(nats.client(), &ledger);
        let business = Self {
            nats,
            ledger,
            replicas,
            load,
            applied,
        };
        business.goes_on().await;
        business
    }

    /// Waits until more is acknowledged and applied than now.
    async fn goes_on(&self) {
        let before = self.counts();
        until_within(
            PATIENCE,
            "deposits are acknowledged and applied",
            async || {
                let now = self.counts();
                if now.0 > before.0 + 20 && now.1 > before.1 + 20 {
                    Ok(())
                } else {
                    Err((before, now))
                }
            },
        )
        .await;
    }

    fn counts(&self) -> (usize, usize) {
        (self.load.acknowledged().count(), self.applied.count())
    }

    /// Every deposit that was acknowledged is stored once, and entered once and in order.
    async fn balances(self, after: &str) {
        let gap = self.load.acknowledged().longest_gap();
        let deposits = self.load.stop(&self.ledger).await;
        self.nats.until_caught_up(ACCOUNTS, BANK).await;
        let mut stored: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for message in self.nats.stored("ACCOUNTS", ">").await {
            let deposit: Deposited = serde_json::from_slice(&message.payload).unwrap();
            let versions = stored.entry(deposit.account).or_default();
            versions.push(deposit.version.get());
        }
        for (account, made) in &deposits {
            let all: Vec<_> = (1..=*made).collect();
            assert_eq!(stored[account], all, "{account} in the stream");
            let all: Vec<_> = all.into_iter().map(u64::cast_signed).collect();
            // What came early is settled before it is entered.
            until(&format!("{account} is entered"), async || {
                let entered = self.ledger.entries(account).await;
                if entered == all {
                    Ok(())
                } else {
                    Err((all.len(), entered))
                }
            })
            .await;
        }
        assert_eq!(self.ledger.held().await, 0);
        assert!(self.nats.dead_letters().await.is_empty());
        let all: u64 = deposits.values().sum();
        eprintln!(
            "{after}: {all} deposits; the longest gap was {gap:?} between acknowledgements, {:?} between entries",
            self.applied.longest_gap()
        );
        for replica in self.replicas {
            replica.until_ready().await;
            replica.stop().await;
        }
    }
}

// Guard: every try of a publish has the same `Nats-Msg-Id` (`store` in `publisher/jetstream.rs`).
#[tokio::test]
async fn leaders_that_are_killed_under_load_lose_nothing() {
    let business = Business::start().await;
    let nats = &business.nats;

    let leader = nats.leader(ACCOUNTS).await;
    nats.cluster().node(&leader).kill().await;
    business.goes_on().await;
    nats.cluster().node(&leader).restart().await;
    nats.until_replicated(ACCOUNTS, BANK).await;
    let leader = nats.consumer_leader(ACCOUNTS, BANK).await;
    nats.cluster().node(&leader).kill().await;
    business.goes_on().await;
    nats.cluster().node(&leader).restart().await;
    nats.until_replicated(ACCOUNTS, BANK).await;

    business.balances("leaders killed").await;
}

// Guard: a client leaves a server that answers nothing (`leave` in `client/election.rs`), and what a leader without
// followers says is no refusal (`DUPLICATE_IN_PROCESS` there).
#[tokio::test]
async fn server_that_is_cut_off_from_the_others_is_left_by_its_clients() {
    let business = Business::start().await;
    let nats = &business.nats;

    let server = server_of(nats.client());
    nats.let_lead(ACCOUNTS, &server).await;
    nats.cluster().cut_off(&server).await;
    business.goes_on().await;
    let clients = business.replicas.iter().map(Replica::client);
    for client in clients.chain([nats.client()]) {
        until_within(PATIENCE, "nobody is left there", async || {
            if server_of(client) == server {
                Err(server.clone())
            } else {
                Ok(())
            }
        })
        .await;
    }
    business.goes_on().await;
    nats.cluster().mend(&server).await;
    nats.until_replicated(ACCOUNTS, BANK).await;

    business.balances("one cut off").await;
}

// Guard: as of the test above; and a publish is tried again while nobody leads the stream (`Trouble::NoStream` there).
#[tokio::test]
async fn servers_that_are_replaced_one_after_the_other_are_missed_by_nobody() {
    let business = Business::start().await;
    let nats = &business.nats;

    for server in nats.cluster().names() {
        nats.cluster().node(&server).retire().await;
        nats.cluster().node(&server).restart().await;
        nats.until_replicated(ACCOUNTS, BANK).await;
        business.goes_on().await;
    }

    business.balances("each restarted").await;
}

// Guard: a publish is tried again while nobody leads the stream (`store` in `publisher/jetstream.rs`).
#[tokio::test]
async fn publish_during_an_election_waits_for_its_end_and_stores_once() {
    let nats = TestNats::in_cluster().await;
    nats.provision::<Notes>().await;
    nats.publish(&Written::on("p", 1)).await;
    let leader = nats.leader(NOTES).await;
    nats.cluster().node(&leader).kill().await;

    let began = Instant::now();
    let stored = nats.publish(&Written::on("p", 2)).await;

    let took = began.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    eprintln!("publish during an election: {took:?}");
    assert_eq!(stored.sequence, 2);
    let lines: Vec<_> = nats.stored("NOTES", ">").await;
    assert_eq!(lines.len(), 2, "stored once for every try");
}
