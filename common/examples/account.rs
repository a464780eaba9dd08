//! cargo run -p common --features sqlite --example account
//!
//! 70 and 40 are paid in, and 100 is taken out. Two replicas hear of that backwards and twice, from NATS at `NATS_URL`.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{error::Error, num::NonZeroUsize};

use common::{ClientConfig, Database, Failure, JetStreamPublisher, Key, QueueGroup, Runner};
use common::{Topology, TransactionalListener, Tx, build_client};

#[path = "contract/account.rs"]
mod account;
use account::{BANK, Bank, Deposited, TABLE, Withdrawn, enter, entries, until_entered};

struct Deposit;
impl TransactionalListener for Deposit {
    type Event = Deposited;
    const QUEUE_GROUP: QueueGroup = BANK;
    async fn apply(&self, new: Deposited, tx: &mut Tx<'_>) -> Result<(), Failure> {
        enter(tx, &new.account, new.amount.into()).await
    }
}

struct Withdraw;
impl TransactionalListener for Withdraw {
    type Event = Withdrawn;
    const QUEUE_GROUP: QueueGroup = BANK;
    async fn apply(&self, new: Withdrawn, tx: &mut Tx<'_>) -> Result<(), Failure> {
        enter(tx, &new.account, -i64::from(new.amount)).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = build_client(&ClientConfig::from_env("bank")?).await?;
    let streams = Topology::of::<Bank>();
    streams.provision(&client, NonZeroUsize::MIN).await?;
    let database = Database::connect("sqlite://data/account.db").await?;
    database.migrate("bank", &[TABLE]).await?;
    let account = Key::new(uuid::Uuid::now_v7().to_string())?;
    let publisher = JetStreamPublisher::new(&client);
    for _ in 0..2 {
        publisher
            .publish(&Withdrawn::new(&account, 3, 100)?)
            .await?;
        publisher.publish(&Deposited::new(&account, 2, 40)?).await?;
        publisher.publish(&Deposited::new(&account, 1, 70)?).await?;
    }
    let replica = || {
        let runner = Runner::new(&client).listen_in(&database, Deposit);
        let runner = runner.listen_in(&database, Withdraw);
        runner.run(until_entered(&database, &account, 3))
    };
    tokio::try_join!(replica(), replica())?;
    let entries = entries(&database, &account).await?;
    println!("{entries:?} make {}", entries.iter().sum::<i64>());
    Ok(())
}
