//! Three servers that store everything three times: one of them is always in trouble, and nothing is lost.

use std::collections::BTreeMap;

use integration_tests::notes::{ACCOUNTS, BANK, Bank, Deposited};
use integration_tests::{EveryVersion, Ledger, Load, Pulse, Replica, Teller, TestNats, until};

use super::transactional::tellers_with;

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
        until("deposits are acknowledged and applied", async || {
            let now = self.counts();
            if now.0 > before.0 + 20 && now.1 > before.1 + 20 {
                Ok(())
            } else {
                Err((before, now))
            }
        })
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
            until("it is entered", async || {
                let entered: Vec<_> = self.ledger.entries(account).await;
                if entered == all { Ok(()) } else { 
                    if std::env::var_os("LOOK").is_some() {
                    eprintln!("{account}: {} of {}, last {:?}, held {}, {:?} {}", entered.len(), all.len(), entered.last(), self.ledger.held().await, self.nats.consumer(ACCOUNTS, BANK).await, self.nats.ask("CONSUMER.INFO.ACCOUNTS.bank", &serde_json::json!({})).await);
                    integration_tests::long_enough_for("x", std::time::Duration::from_secs(3)).await;
                    }
                    Err((entered.len(), all.len())) }
            }).await;
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

#[tokio::test]
async fn leaders_that_are_killed_under_load_lose_nothing() {
    let business = Business::start().await;
    let nats = &business.nats;

    for _ in 0..2 {
        let leader = nats.leader(ACCOUNTS).await;
        eprintln!("kill {leader}");
        nats.cluster().node(&leader).kill().await;
        business.goes_on().await;
        nats.cluster().node(&leader).restart().await;
        nats.until_replicated(ACCOUNTS, BANK).await;
        let leader = nats.consumer_leader(ACCOUNTS, BANK).await;
        eprintln!("kill {leader}");
        nats.cluster().node(&leader).kill().await;
        business.goes_on().await;
        nats.cluster().node(&leader).restart().await;
        nats.until_replicated(ACCOUNTS, BANK).await;
    }

    business.balances("leaders killed").await;
}
