//! `sgt soak`: the services as programs, a sale that goes on for minutes, and everything that can go wrong on the way.

mod cable;
mod chaos;
mod enough;
mod panics;
mod recognised;
mod reconcile;
mod report;
mod schedule;
mod site;

use std::fs;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use common::http::{JwtKey, Stop, until_signalled};
use common::{ClientConfig, build_client};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use uuid::Uuid;
use xtask::nats_server::{self, NatsServer};

use self::chaos::{Chaos, Faults};
use self::recognised::Recognised;
use self::reconcile::Reconciliation;
use self::report::{Report, longest_pause};
use self::schedule::{REPLICAS, Schedule};
use self::site::Site;
use crate::INTERRUPTED;
use crate::market::api::{Api, Service};
use crate::market::broker::Broker;
use crate::market::counted::Counted;
use crate::market::counts::{Delivery, EventCounts, Orders, Payments, Tickets, round};
use crate::market::facts::{Databases, Facts};
use crate::market::invariants::{self, Verdict};
use crate::market::plan::{Plan, Size, Weather};
use crate::market::progress::{Phase, Screen};
use crate::market::run_folder::RunFolder;
use crate::market::sale::{Account, Sale};
use crate::market::settle;
use crate::name::parse_some;

/// How long an order may stay unpaid: long enough to be paid in spite of most faults, and not of all.
const TTL: Duration = Duration::from_secs(10);
/// Whoever hears nothing for so long asks the next replica. Longer than a payment takes.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// How long anybody waits for what must happen, faults included.
const PATIENCE: Duration = Duration::from_mins(5);
/// A ticket is listed this often, if buyers keep up.
const PACE: Duration = Duration::from_millis(150);
const TICKETS_A_MINUTE: NonZeroU32 = NonZeroU32::new(400).expect("there are some");
/// As many tickets as this are being traded at a time.
const AT_ONCE: usize = 40;
/// A day of faults: schedule and sale are planned beforehand.
const LONGEST: NonZeroU32 = NonZeroU32::new(24 * 60).expect("a day has some");
const BUYERS: NonZeroU32 = NonZeroU32::new(200).expect("there are some");

/// Let everything go wrong that may, for minutes and under load, and check what must be true afterwards.
///
/// Two replicas of each service run as programs, on one SQLite file for each service, with a NATS server of their
/// own; a schedule that the seed makes kills (`kill -9`), freezes, restarts and cuts off each of them and the server,
/// while buyers go on. Then everything is left in peace until it is quiet, and every event is held against the
/// databases. The exit code is 0 if nothing was lost, nothing was applied twice and every invariant holds; else the
/// folder with databases, logs and streams is kept. `cargo xtask soak` builds the programs first.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "NATS_SERVER names the nats-server to use.")]
pub(crate) struct Args {
    /// How long everything goes wrong
    #[arg(long, value_name = "NUMBER", default_value = "5", value_parser = parse_minutes)]
    minutes: NonZeroU32,

    /// What decides what goes wrong, whom it befalls and when, and who wants which ticket
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    seed: u64,

    /// Print what would go wrong, and do nothing
    #[arg(long)]
    plan: bool,

    /// Report as one JSON object on standard output, and on standard error what is going on
    #[arg(long, conflicts_with = "brief")]
    json: bool,

    /// Report in one line, unless something is broken
    #[arg(long)]
    brief: bool,
}

/// How a soak ended whose programs had started.
#[derive(Debug)]
enum Ending {
    Judged(Box<Report>),
    Interrupted,
}

fn parse_minutes(text: &str) -> Result<NonZeroU32, String> {
    match parse_some(text)? {
        minutes if minutes > LONGEST => Err(format!("{LONGEST}, a day, is the most")),
        minutes => Ok(minutes),
    }
}

impl Args {
    fn screen(&self) -> Screen {
        if self.json {
            Screen::Json
        } else if self.brief {
            Screen::Brief
        } else {
            Screen::Text
        }
    }

    fn length(&self) -> Duration {
        Duration::from_mins(u64::from(self.minutes.get()))
    }

    fn schedule(&self) -> Schedule {
        Schedule::new(self.seed, self.length())
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.plan {
        Screen::result(args.schedule().to_string().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    // Before there is a runtime, because it may take a while and then simply ends at Ctrl-C.
    let server = nats_server::locate()?;
    run_in_folder(args, &server)
}

#[tokio::main]
async fn run_in_folder(args: &Args, server: &NatsServer) -> anyhow::Result<ExitCode> {
    let folder = RunFolder::create("soak")?;
    fs::write(
        folder.path().join("schedule.txt"),
        args.schedule().to_string(),
    )?;
    let ending = until_signalled(|stop| soak(args, server, &folder, stop)).await;
    let is_sound = match &ending {
        Ok(Ending::Interrupted) => return Ok(ExitCode::from(INTERRUPTED)),
        Ok(Ending::Judged(report)) => {
            match args.screen() {
                Screen::Json => Screen::result(serde_json::to_string(report)?),
                Screen::Brief if report.is_sound() => Screen::result(report.line()),
                Screen::Text | Screen::Brief => Screen::result(report),
            }
            report.is_sound()
        }
        Err(_) => false,
    };
    if is_sound {
        return Ok(ExitCode::SUCCESS);
    }
    let minutes = Counted(args.minutes.get() as usize, "minute");
    match folder.keep_for_ever() {
        Ok(kept) => eprintln!(
            "Seed {}, {minutes}: databases, streams, logs and schedule are kept in {}",
            args.seed,
            kept.display()
        ),
        // Why the run failed matters more.
        Err(err) => eprintln!("databases, streams and logs could not be kept: {err}"),
    }
    ending.map(|_| ExitCode::FAILURE)
}

/// Starts the programs, and stops them in order, unless something goes wrong that must not.
async fn soak(
    args: &Args,
    server: &NatsServer,
    folder: &RunFolder,
    stop: Stop,
) -> anyhow::Result<Ending> {
    let jwt_key = format!("{}{}", Uuid::now_v7(), Uuid::now_v7());
    let mut site = Site::start(server, folder, &jwt_key, TTL).await?;
    let api = Api::new(site.addresses()?, JwtKey::new(&jwt_key)?, ANSWER_WITHIN);
    let run = Run {
        args,
        screen: args.screen(),
        folder,
        api: &api,
    };
    let outcome = tokio::select! {
        biased;
        () = stop => None,
        outcome = run.go(server, &mut site) => Some(outcome?),
    };
    let Some(outcome) = outcome else {
        run.screen.say("stopping; Ctrl-C again ends it at once");
        // Frozen or cut off, it would not end in order; nobody looks at it any more.
        drop(site);
        return Ok(Ending::Interrupted);
    };
    let troubles = site.stop().await?;
    let report = run.report(outcome, troubles)?;
    Ok(Ending::Judged(Box::new(report)))
}

/// One run, once everything is up.
struct Run<'r> {
    args: &'r Args,
    screen: Screen,
    folder: &'r RunFolder,
    api: &'r Api,
}

/// What was done, and what it has left.
struct Outcome {
    schedule: Schedule,
    since: Timestamp,
    /// From the first ticket until all was quiet.
    seconds: f64,
    account: Account,
    faults: Faults,
    facts: Facts,
}

impl Run<'_> {
    /// Everything between the start of the programs and their end.
    async fn go(&self, server: &NatsServer, site: &mut Site) -> anyhow::Result<Outcome> {
        site.until_ready(self.api, PATIENCE).await?;
        let schedule = self.args.schedule();
        self.screen.say(format_args!(
            "started   nats-server {} and {REPLICAS} of each service, seed {}, {} in {}",
            server.version,
            self.args.seed,
            Counted(schedule.faults.len(), "fault"),
            Counted(self.args.minutes.get() as usize, "minute"),
        ));
        let (begun, since) = (Instant::now(), Timestamp::now());
        let (account, faults) = self.trade(&schedule, site).await?;
        let facts = self.settle(site).await?;
        Ok(Outcome {
            schedule,
            since,
            seconds: begun.elapsed().as_secs_f64(),
            account,
            faults,
            facts,
        })
    }

    /// Lets people trade while everything goes wrong, and go on to their ends when it does not any more.
    async fn trade(
        &self,
        schedule: &Schedule,
        site: &mut Site,
    ) -> anyhow::Result<(Account, Faults)> {
        let plan = Plan::new(
            Size {
                tickets: self.args.minutes.saturating_mul(TICKETS_A_MINUTE),
                buyers: BUYERS,
            },
            self.args.seed,
            Weather::Rough,
        );
        let phase = self.screen.phase("trading", 0);
        let sale = Sale::new(self.api, PATIENCE, Weather::Rough);
        let end = sleep(schedule.length); // the schedule
        let trade = sale.trade(&plan, AT_ONCE, PACE, end, &phase);
        let chaos = Chaos::new(schedule, self.api, self.screen);
        let trade = async {
            trade.await;
            anyhow::Ok(())
        };
        // Nobody trades on where something cannot be put right.
        let ((), faults) = tokio::try_join!(trade, chaos.run(site))?;
        let account = sale.into_account();
        end_trade(phase, &account);
        Ok((account, faults))
    }

    /// Waits until everybody is up and nothing is under way, and reads what there is.
    async fn settle(&self, site: &Site) -> anyhow::Result<Facts> {
        let phase = self.screen.phase("settling", 0);
        site.until_ready(self.api, PATIENCE).await?;
        let client = build_client(&ClientConfig::new("sgt").url(site.server.url()))
            .await
            .context("NATS cannot be used")?;
        let databases = Databases::open(self.folder.path()).await?;
        let broker = Broker::new(&client);
        let deadline = Instant::now() + PATIENCE;
        let left = || deadline.saturating_duration_since(Instant::now());
        settle::until_quiet(&databases, &broker, left(), &phase).await?;
        // Orders that came to their end long ago expire all the same, and schedules fire by the second.
        sleep(TTL + Duration::from_secs(2)).await;
        settle::until_quiet(&databases, &broker, left(), &phase).await?;
        let facts = Facts::read(&databases, &broker, left()).await?;
        client.close().await;
        phase.end("outboxes, consumers, orders and payments");
        Ok(facts)
    }

    fn report(&self, outcome: Outcome, troubles: Vec<String>) -> anyhow::Result<Report> {
        let Outcome {
            schedule,
            since,
            seconds,
            account: sale,
            faults,
            facts,
        } = outcome;
        let minutes = self.args.minutes.get();
        let orders = Orders::count(&facts);
        let mut invariants = invariants::judge(&facts, &sale, Weather::Rough);
        invariants.push(Verdict::new(
            "every answer was as the API's contract says",
            Counted(self.api.sent(), "request").to_string(),
            sale.unexpected.clone(),
        ));
        let reconciliation = Reconciliation::of(&facts);
        invariants.extend(reconciliation.verdicts);
        invariants.push(Verdict::new(
            "no service ended but in order, when it was told to",
            Counted(faults.total(), "fault").to_string(),
            troubles,
        ));
        invariants.push(Verdict::new(
            "no service panicked",
            Counted(REPLICAS * Service::ALL.len(), "replica").to_string(),
            panics::panics(self.folder.path())?,
        ));
        invariants.push(Verdict::new(
            "enough went on, and wrong, to show anything",
            format!(
                "{}, {}",
                Counted(facts.orders.len(), "order"),
                Counted(faults.total(), "fault")
            ),
            enough::missing(minutes, &schedule, &faults, &orders),
        ));
        let pause = longest_pause(&facts, since);
        Ok(Report {
            seed: self.args.seed,
            minutes,
            seconds: round(seconds),
            requests: self.api.sent(),
            tickets: Tickets::count(&facts),
            orders,
            payments: Payments::count(&facts),
            sale,
            faults,
            longest_pause_seconds: round(pause.as_secs_f64()),
            events: EventCounts::count(&facts),
            delivery: Delivery::count(&facts),
            recognised: Recognised::count(self.folder.path(), &facts)?,
            lost: reconciliation.lost,
            applied_twice: reconciliation.applied_twice,
            published_to_handled: facts.latencies().0.into(),
            invariants,
        })
    }
}

fn end_trade(phase: Phase, account: &Account) {
    phase.end(format_args!(
        "{}, {}",
        Counted(account.listed.len(), "ticket"),
        Counted(account.ordered.len(), "order")
    ));
}
