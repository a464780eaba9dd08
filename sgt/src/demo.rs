//! `sgt demo`: a whole ticketing system, a sale, and what must be true afterwards.

mod report;
mod system;
mod walk;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::num::{NonZeroU8, NonZeroU32};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use common::http::{JwtKey, Stop, until_signalled};
use orders_service::OrderTtl;
use tracing_subscriber::EnvFilter;
use uuid::Uuid;
use xtask::nats_server;

use self::report::Report;
use self::system::{Setup, System};
use self::walk::Walk;
use crate::INTERRUPTED;
use crate::market::api::{ANSWER_WITHIN, Addresses, Api};
use crate::market::broker::Broker;
use crate::market::counted::Counted;
use crate::market::counts::{Delivery, EventCounts, Orders, Payments, Tickets, round};
use crate::market::facts::{Databases, Facts};
use crate::market::invariants::{self, Verdict};
use crate::market::plan::{Plan, Size, Weather};
use crate::market::progress::Screen;
use crate::market::run_folder::RunFolder;
use crate::market::sale::{Account, Sale};
use crate::market::settle;
use crate::name::parse_some;

const STOPPING: &str = "stopping; Ctrl-C again ends it at once";
/// How much longer than an order lives anybody waits for what must happen: the sweep of overdue orders included.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sell tickets to many buyers at once, through a whole system that runs for this, and check what
/// must be true afterwards.
///
/// A NATS server (from PATH, 2.12 or newer, or fetched once) and the three services run on free ports
/// of 127.0.0.1, in a temporary folder; afterwards nothing of it is left. The exit code is 0 if every
/// invariant holds.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
RUST_LOG shows what the services log on standard error, as `info` or `common=debug,info`.
NATS_SERVER names the nats-server to use.")]
pub(crate) struct Args {
    /// How many tickets are listed
    #[arg(long, value_name = "NUMBER", default_value = "60", value_parser = parse_some::<NonZeroU32>)]
    tickets: NonZeroU32,

    /// How many buyers there are, all at once
    #[arg(long, value_name = "NUMBER", default_value = "40", value_parser = parse_some::<NonZeroU32>)]
    buyers: NonZeroU32,

    /// What decides who does what: the same seed plans the same sale
    #[arg(long, value_name = "NUMBER", default_value = "7")]
    seed: u64,

    /// How long an order may stay unpaid, as 5s or 2m [default: 5s, more with hundreds of buyers]
    #[arg(long, value_name = "TIME")]
    ttl: Option<OrderTtl>,

    /// How many of each service run, on one database
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = parse_some::<NonZeroU8>)]
    replicas: NonZeroU8,

    /// Let each service connect as a user of its own, which may do what `sgt permissions` prints and no more
    #[arg(long)]
    least_privilege: bool,

    /// Leave the system up after the sale, with lines to paste for curl, until Ctrl-C
    #[arg(long)]
    keep: bool,

    /// Report as one JSON object on standard output, and on standard error what is going on
    #[arg(long)]
    json: bool,
}

/// How a demo ended whose system had started.
#[derive(Debug)]
enum Ending {
    Sound,
    /// Some invariant is broken.
    Unsound,
    Interrupted,
    /// The system did not hold out, or did not stop in order.
    Broken(anyhow::Error),
}

impl Args {
    #[cfg(test)]
    pub(crate) fn is_kept_up(&self) -> bool {
        self.keep
    }

    fn screen(&self) -> Screen {
        if self.json {
            Screen::Json
        } else {
            Screen::Text
        }
    }

    /// Everybody must come to pay in time, and five hundred at once take longer.
    fn ttl(&self) -> Duration {
        let by_buyers = Duration::from_millis(40) * self.buyers.get();
        let bounded = by_buyers.clamp(Duration::from_secs(5), Duration::from_mins(1));
        self.ttl.map_or(bounded, Duration::from)
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Before there is a runtime, because it may take a while and then simply ends at Ctrl-C.
    let server = nats_server::locate()?;
    let setup = Setup {
        server,
        jwt_key: JwtKey::new(&format!("{}{}", Uuid::now_v7(), Uuid::now_v7()))?,
        ttl: args.ttl(),
        replicas: args.replicas,
        password: args.least_privilege.then(|| Uuid::now_v7().to_string()),
    };
    match run_in_folder(args, &setup)? {
        Ending::Sound => Ok(ExitCode::SUCCESS),
        Ending::Unsound => Ok(ExitCode::FAILURE),
        Ending::Interrupted => Ok(ExitCode::from(INTERRUPTED)),
        Ending::Broken(err) => Err(err),
    }
}

#[tokio::main]
async fn run_in_folder(args: &Args, setup: &Setup) -> anyhow::Result<Ending> {
    let folder = RunFolder::create("demo")?;
    start_logging(&folder)?;
    let ending = until_signalled(|stop| run_system(args, setup, &folder, stop)).await?;
    if let Ending::Unsound | Ending::Broken(_) = ending {
        let kept = folder.keep();
        args.screen().say(format_args!(
            "Databases, streams and logs are left in {} until the next run.",
            kept.display()
        ));
    }
    Ok(ending)
}

/// Starts the system, and stops it in order however the demo ends.
async fn run_system(
    args: &Args,
    setup: &Setup,
    folder: &RunFolder,
    stop: Stop,
) -> anyhow::Result<Ending> {
    let stop = std::pin::pin!(stop);
    let begun = Instant::now();
    // Awaited also when it is time to stop: dropped half-way, it would go on in a thread and fill a
    // folder that is gone. It ends by itself soon.
    let mut system = System::start(setup, folder).await?;
    introduce(args, setup, &system, begun);
    let ending = run_demo(args, setup, folder, &mut system, stop).await;
    let stopped = system.stop().await;
    Ok(match (ending, stopped) {
        (Ok(ending @ (Ending::Unsound | Ending::Broken(_))), _) | (Ok(ending), Ok(())) => ending,
        (Err(err), _) | (Ok(_), Err(err)) => Ending::Broken(err),
    })
}

async fn run_demo(
    args: &Args,
    setup: &Setup,
    folder: &RunFolder,
    system: &mut System,
    mut stop: Pin<&mut Stop>,
) -> anyhow::Result<Ending> {
    let screen = args.screen();
    let addresses = system.addresses().clone();
    let client = system.client().clone();
    let report = tokio::select! {
        biased;
        () = &mut stop => {
            screen.say(STOPPING);
            return Ok(Ending::Interrupted);
        }
        report = sell_and_judge(args, setup, folder, &addresses, &client) => report?,
        err = system.broken() => return Err(err),
    };
    match screen {
        Screen::Text | Screen::Brief => Screen::result(&report),
        Screen::Json => Screen::result(serde_json::to_string(&report)?),
    }
    if args.keep {
        let walk = Walk::new(&addresses, &setup.jwt_key, setup.ttl)?;
        screen.say(format_args!(
            "\nThe system stays up until Ctrl-C. To walk two tickets through it, as alice who sells and bob who\n\
             buys, paste this into a second terminal, all of it (an order lives for {:?}; --ttl changes that):\n\n{walk}\n",
            setup.ttl
        ));
        tokio::select! {
            err = system.broken() => return Err(err),
            () = stop => screen.say(STOPPING),
        }
    }
    Ok(if report.is_sound() {
        Ending::Sound
    } else {
        Ending::Unsound
    })
}

fn introduce(args: &Args, setup: &Setup, system: &System, begun: Instant) {
    let Args {
        tickets,
        buyers,
        seed,
        ..
    } = args;
    let screen = args.screen();
    let version = &setup.server.version;
    let addresses = system.addresses();
    screen.say(format_args!(
        "nats-server {version} at {}",
        system.nats_url()
    ));
    for (service, replicas) in [
        ("tickets-service", &addresses.tickets),
        ("orders-service", &addresses.orders),
        ("payments-service", &addresses.payments),
    ] {
        let replicas: Vec<_> = replicas
            .iter()
            .map(|addr| format!("http://{addr}"))
            .collect();
        screen.say(format_args!("{service:<17} at {}", replicas.join(" and ")));
    }
    let (seconds, ttl) = (begun.elapsed().as_secs_f64(), setup.ttl);
    screen.say(format_args!(
        "{:<9} {tickets} tickets for {buyers} buyers, seed {seed}, orders expire after {ttl:?} ({seconds:.1} s)",
        "started"
    ));
}

async fn sell_and_judge(
    args: &Args,
    setup: &Setup,
    folder: &RunFolder,
    addresses: &Addresses,
    client: &common::Client,
) -> anyhow::Result<Report> {
    let begun = Instant::now();
    let screen = args.screen();
    let size = Size {
        tickets: args.tickets,
        buyers: args.buyers,
    };
    let plan = Plan::new(size, args.seed, Weather::Calm);
    let api = Api::new(addresses.clone(), setup.jwt_key.clone(), ANSWER_WITHIN);
    let sale = Sale::new(&api, setup.ttl + PATIENCE, Weather::Calm);

    let phase = screen.phase("listing", plan.tickets.len());
    let offers = sale.list(&plan, &phase).await;
    phase.end(Counted(offers.len(), "ticket"));

    let phase = screen.phase("selling", offers.len());
    let offered = offers.len();
    sale.sell(offers, args.buyers, &phase).await;
    let buyers = args.buyers.get() as usize;
    phase.end(format_args!(
        "{} to {}",
        Counted(offered, "ticket"),
        Counted(buyers, "buyer")
    ));
    let account = sale.into_account();

    let databases = Databases::open(folder.path()).await?;
    let broker = Broker::new(client);
    let phase = screen.phase("settling", 0);
    settle::until_quiet(&databases, &broker, setup.ttl + PATIENCE, &phase).await?;
    let facts = Facts::read(&databases, &broker, setup.ttl + PATIENCE).await?;
    phase.end("outboxes, consumers, orders and payments");
    Ok(report(args, &api, account, &facts, begun))
}

fn report(args: &Args, api: &Api, sale: Account, facts: &Facts, begun: Instant) -> Report {
    let mut invariants = invariants::judge(facts, &sale, Weather::Calm);
    invariants.push(Verdict::new(
        "every answer was as the API's contract says",
        Counted(api.sent(), "request").to_string(),
        sale.unexpected.clone(),
    ));
    let (published_to_handled, written_to_handled) = facts.latencies();
    Report {
        seed: args.seed,
        seconds: round(begun.elapsed().as_secs_f64()),
        requests: api.sent(),
        tickets: Tickets::count(facts),
        orders: Orders::count(facts),
        payments: Payments::count(facts),
        sale,
        events: EventCounts::count(facts),
        delivery: Delivery::count(facts),
        published_to_handled: published_to_handled.into(),
        written_to_handled: written_to_handled.into(),
        invariants,
    }
}

/// What the services log goes to standard error if `RUST_LOG` is set, else into the folder.
fn start_logging(folder: &RunFolder) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env();
    let logging = tracing_subscriber::fmt().with_target(true);
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = filter.context("RUST_LOG cannot be read")?;
        logging
            .with_env_filter(filter)
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr)
            .init();
    } else {
        let file = File::create(folder.path().join("services.log"))?;
        logging
            .with_env_filter(EnvFilter::new("info"))
            .with_ansi(false)
            .with_writer(Mutex::new(file))
            .init();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[track_caller]
    fn check_ttl(line: &str, expected: Duration) {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(cli.args.ttl(), expected, "{line}");
    }

    #[test]
    fn orders_live_longer_among_many_buyers() {
        check_ttl("demo", Duration::from_secs(5));
        check_ttl("demo --buyers 500", Duration::from_secs(20));
        check_ttl("demo --buyers 4000000000", Duration::from_mins(1));
        check_ttl("demo --buyers 500 --ttl 2s", Duration::from_secs(2));
    }

    #[test]
    fn order_that_outlives_its_schedule_is_refused() {
        assert!(Cli::try_parse_from(["demo", "--ttl", "169h"]).is_err());
        assert!(Cli::try_parse_from(["demo", "--ttl", "168h"]).is_ok());
    }
}
