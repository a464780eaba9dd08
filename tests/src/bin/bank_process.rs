//! A bank in a process of its own, for tests that kill it, freeze it, and take its disk away.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use common::{
    BoxError, Client, ClientConfig, Database, Delivery, Failure, InTransaction, Listener, Order,
    QueueGroup, Relay, Runner, Settled, TransactionalListener, build_client,
};
use integration_tests::notes::{Deposited, Withdrawn};
use integration_tests::{CREATE, Entry, EveryVersion, Halt, Ledger, Role, Teller, attempts, until};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Parser)]
struct Args {
    role: Role,
    halt: Halt,
}

/// Where this process stands still, once.
struct Halting {
    at: Halt,
    done: AtomicBool,
}

impl Halting {
    /// Lets nothing of this process go on until a line is on its standard input: there is one thread.
    fn reached(&self, point: Halt) {
        if self.at == point && !self.done.swap(true, Ordering::SeqCst) {
            say("halted");
            let mut line = String::new();
            // However this ends, it goes on.
            let _ = io::stdin().read_line(&mut line);
        }
    }
}

fn say(word: &str) {
    // Whoever listened may be gone.
    let _ = writeln!(io::stdout(), "{word}");
}

/// Stands still before and behind what it wraps.
struct Around<L> {
    inner: InTransaction<L>,
    halting: Arc<Halting>,
}

impl<L: TransactionalListener> Listener for Around<L> {
    type Event = L::Event;

    const QUEUE_GROUP: QueueGroup = L::QUEUE_GROUP;

    async fn on_message(
        &self,
        event: L::Event,
        delivery: Delivery<'_>,
    ) -> Result<Settled, Failure> {
        self.halting.reached(Halt::BeforeTransaction);
        let settled = self.inner.on_message(event, delivery).await;
        self.halting.reached(Halt::AfterCommit);
        settled
    }

    fn ledger(&self) -> Option<(&Database, Order)> {
        self.inner.ledger()
    }
}

/// Stands still when the runner says that it has handled an event: the acknowledgement is in the client's queue, and
/// the client's task has not had its turn.
struct AfterAck(Arc<Halting>);

impl<S: Subscriber> Layer<S> for AfterAck {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        if message.0 == "handled" {
            self.0.reached(Halt::AfterAck);
        }
    }
}

#[derive(Default)]
struct Message(String);

impl tracing::field::Visit for Message {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let Args { role, halt } = Args::parse();
    let halting = Arc::new(Halting {
        at: halt,
        done: AtomicBool::new(false),
    });
    tracing_subscriber::registry()
        .with(AfterAck(Arc::clone(&halting)))
        .init();
    // What cannot be written is an error, and not the end of the process.
    #[cfg(target_os = "linux")]
    let _full = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(25))?;
    let database = Ledger::open(&std::env::var("DATABASE_URL")?).await;
    let client = build_client(&ClientConfig::from_env("bank")?).await?;

    match role {
        Role::Replica => replica(&client, &database, &halting).await,
        Role::Relay => {
            say("ready");
            Relay::new(&database, &client)
                .run(std::future::pending())
                .await;
            Ok(())
        }
    }
}

async fn replica(
    client: &Client,
    database: &Database,
    halting: &Arc<Halting>,
) -> Result<(), BoxError> {
    let runner = Runner::new(client)
        .provisioning(CREATE)
        .retry(attempts(1))
        .listen(around::<Deposited>(database, halting))
        .listen(around::<Withdrawn>(database, halting));
    let health = client.health().clone();
    let ready = async move {
        until("the bank is ready", async move || {
            if health.is_ready() {
                Ok(())
            } else {
                Err(health.troubles())
            }
        })
        .await;
        say("ready");
        std::future::pending::<()>().await;
    };
    Ok(runner.run(ready).await?)
}

fn around<E: Entry + Clone>(
    database: &Database,
    halting: &Arc<Halting>,
) -> Around<Teller<E, EveryVersion>> {
    let inside = Arc::clone(halting);
    let teller = Teller::with(move |_| {
        inside.reached(Halt::InTransaction);
        Ok(())
    });
    Around {
        inner: InTransaction::new(database, teller),
        halting: Arc::clone(halting),
    }
}
