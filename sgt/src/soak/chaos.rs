use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::try_join_all;
use serde::{Serialize, Serializer};
use tokio::time::{Instant, sleep, sleep_until};
use xtask::NatsProcess;
use xtask::signal::Signal;

use super::schedule::{Fault, Kind, Schedule, Target};
use super::site::{Replica, Server, Site};
use crate::market::api::Api;
use crate::market::progress::Screen;

/// How often a replica is looked at: the system does not tell when a child ends.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What went wrong, by kind and target.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) BTreeMap<(Target, Kind), usize>);

/// Lets everything go wrong as the schedule says, from now on.
#[derive(Debug)]
pub(super) struct Chaos<'c> {
    schedule: &'c Schedule,
    api: &'c Api,
    screen: Screen,
    begun: Instant,
    done: RefCell<Faults>,
}

impl<'c> Chaos<'c> {
    pub(super) fn new(schedule: &'c Schedule, api: &'c Api, screen: Screen) -> Self {
        Self {
            schedule,
            api,
            screen,
            begun: Instant::now(),
            done: RefCell::default(),
        }
    }

    /// Returns when everything has gone wrong, and is put right again.
    ///
    /// # Errors
    ///
    /// If something cannot be put right.
    pub(super) async fn run(self, site: &mut Site) -> anyhow::Result<Faults> {
        let replicas = try_join_all(site.replicas.iter_mut().map(|one| self.befall(one)));
        tokio::try_join!(self.befall_server(&mut site.server), replicas)?;
        Ok(self.done.into_inner())
    }

    /// Says what goes wrong now, and counts it.
    fn note(&self, fault: Fault) {
        let late = self.begun.elapsed().saturating_sub(fault.at);
        if late < Duration::from_secs(1) {
            self.screen.say(fault);
        } else {
            let late = late.as_secs_f64();
            self.screen.say(format_args!("{fault}  ({late:.1} s late)"));
        }
        let mut done = self.done.borrow_mut();
        *done.0.entry((fault.target, fault.kind)).or_default() += 1;
    }

    async fn befall_server(&self, server: &mut Server) -> anyhow::Result<()> {
        for fault in self.schedule.of(Target::Server) {
            sleep_until(self.begun + fault.at).await; // the schedule
            server.must_run().await?;
            self.note(fault);
            match fault.kind {
                Kind::Kill => server.tell(NatsProcess::kill).await??,
                Kind::Restart => server.tell(NatsProcess::stop).await??,
                Kind::Freeze => server.tell(|server| server.pause()).await??,
                Kind::LameDuck => {
                    server
                        .tell(|server| server.signal(Signal::LameDuck))
                        .await??;
                }
                Kind::Cut => server.cable.cut(),
                Kind::Stall => server.cable.stall(),
                Kind::Unheard => server.cable.deafen(),
            }
            sleep(fault.lasts).await; // the schedule
            match fault.kind {
                Kind::Kill | Kind::Restart | Kind::LameDuck => server.restart().await?,
                Kind::Freeze => server.tell(|server| server.resume()).await??,
                Kind::Cut | Kind::Stall | Kind::Unheard => server.cable.mend(),
            }
        }
        sleep_until(self.begun + self.schedule.length).await; // the schedule
        server.must_run().await
    }

    async fn befall(&self, replica: &mut Replica) -> anyhow::Result<()> {
        for fault in self.schedule.of(replica.target()) {
            self.watch(replica, self.begun + fault.at).await?;
            self.note(fault);
            match fault.kind {
                Kind::Kill => replica.program()?.kill()?,
                Kind::Restart | Kind::LameDuck => replica.stop().await?,
                Kind::Freeze => replica.program()?.pause()?,
                Kind::Cut => replica.cable.cut(),
                Kind::Stall => replica.cable.stall(),
                Kind::Unheard => replica.cable.deafen(),
            }
            sleep(fault.lasts).await; // the schedule
            match fault.kind {
                Kind::Kill | Kind::Restart | Kind::LameDuck => {
                    replica.start().await?;
                    self.tell_address(replica)?;
                }
                Kind::Freeze => replica.program()?.resume()?,
                Kind::Cut | Kind::Stall | Kind::Unheard => replica.cable.mend(),
            }
        }
        self.watch(replica, self.begun + self.schedule.length).await
    }

    /// Waits, and starts the replica if it ends meanwhile.
    async fn watch(&self, replica: &mut Replica, until: Instant) -> anyhow::Result<()> {
        loop {
            if replica.revive().await? {
                self.tell_address(replica)?;
            }
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            sleep_until(until.min(now + LOOK_EVERY)).await; // the schedule
        }
    }

    fn tell_address(&self, replica: &Replica) -> anyhow::Result<()> {
        self.api
            .moved(replica.service, replica.nth, replica.addr()?);
        Ok(())
    }
}

impl Faults {
    pub(super) fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// How many of a kind.
    pub(super) fn by_kind(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for ((_, kind), count) in &self.0 {
            *counts.entry(*kind).or_default() += count;
        }
        counts
    }
}

impl Serialize for Faults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut by_target: BTreeMap<String, BTreeMap<Kind, usize>> = BTreeMap::new();
        for ((target, kind), count) in &self.0 {
            let kinds = by_target.entry(target.to_string()).or_default();
            kinds.insert(*kind, *count);
        }
        by_target.serialize(serializer)
    }
}
