//! Which fault befalls whom, and when: a pure function of the seed.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::market::api::Service;
use crate::market::plan::Dice;

/// How many of each service run.
pub(super) const REPLICAS: usize = 2;

/// What goes wrong, in the order in which it does. The same seed makes the same schedule, and a longer one begins
/// with the shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schedule {
    pub(super) faults: Vec<Fault>,
    pub(super) length: Duration,
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// From the beginning of the load.
    pub(super) at: Duration,
    pub(super) target: Target,
    pub(super) kind: Kind,
    /// How long it is before it is put right.
    pub(super) lasts: Duration,
}

/// Who it befalls: one thing at a time, but several at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Server,
    /// Counted from 0.
    Replica(Service, usize),
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kind {
    /// `kill -9`, and down for a while.
    Kill,
    /// SIGSTOP, and SIGCONT after a while, which may be longer than any lease.
    Freeze,
    /// SIGTERM, and down for a moment.
    Restart,
    /// Its connections are severed, and no new ones made for a while. The server's are everybody's.
    Cut,
    /// Its connections stay, and nothing passes for a while.
    Stall,
    /// It hears everything and nobody hears it for a while: what it has applied is delivered to another.
    Unheard,
    /// The server lets its clients go, and ends.
    LameDuck,
}

/// How often each kind befalls a replica, of a hundred times.
const OF_REPLICAS: [(Kind, u32); 6] = [
    (Kind::Kill, 28),
    (Kind::Freeze, 27),
    (Kind::Restart, 14),
    (Kind::Cut, 13),
    (Kind::Stall, 8),
    (Kind::Unheard, 10),
];
/// How often each kind befalls the server.
const OF_THE_SERVER: [(Kind, u32); 7] = [
    (Kind::Kill, 24),
    (Kind::Freeze, 19),
    (Kind::Restart, 14),
    (Kind::Cut, 18),
    (Kind::Stall, 8),
    (Kind::Unheard, 8),
    (Kind::LameDuck, 9),
];

impl Schedule {
    /// What goes wrong, and is put right again, within this time.
    pub(super) fn new(seed: u64, length: Duration) -> Self {
        let mut seeds = Dice::new(seed);
        let mut faults: Vec<_> = Target::all()
            .flat_map(|target| timeline(target, length, &mut Dice::new(seeds.roll())))
            .collect();
        faults.sort_by_key(|fault| (fault.at, fault.target));
        Self { faults, length }
    }

    /// What befalls one of them.
    pub(super) fn of(&self, target: Target) -> impl Iterator<Item = Fault> {
        self.faults
            .iter()
            .copied()
            .filter(move |fault| fault.target == target)
    }
}

fn timeline(target: Target, length: Duration, dice: &mut Dice) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut free_from = Duration::ZERO;
    loop {
        let fault = Fault::drawn(target, free_from, dice);
        free_from = fault.at + fault.lasts;
        if free_from > length {
            return faults;
        }
        faults.push(fault);
    }
}

impl Fault {
    fn drawn(target: Target, free_from: Duration, dice: &mut Dice) -> Self {
        let (kinds, pause) = match target {
            Target::Server => (&OF_THE_SERVER[..], between(dice, 5_000, 30_000)),
            Target::Replica(..) => (&OF_REPLICAS[..], between(dice, 1_000, 16_000)),
        };
        let kind = Kind::drawn(kinds, dice);
        Self {
            at: free_from + pause,
            target,
            kind,
            lasts: kind.lasts(dice),
        }
    }
}

impl Kind {
    fn drawn(kinds: &[(Self, u32)], dice: &mut Dice) -> Self {
        let mut left = dice.below(100);
        for &(kind, weight) in kinds {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        Self::Kill
    }

    /// Mostly a moment, and sometimes longer than an event's lease and the relay's, which are ten seconds each.
    fn lasts(self, dice: &mut Dice) -> Duration {
        let is_long = dice.below(4) == 0;
        match self {
            Self::Kill => between(dice, 50, 4_000),
            Self::Restart => between(dice, 50, 1_000),
            Self::Freeze | Self::Stall if is_long => between(dice, 11_000, 16_000),
            Self::Freeze | Self::Stall => between(dice, 200, 4_000),
            Self::Cut => between(dice, 100, 6_000),
            Self::Unheard => between(dice, 2_000, 16_000),
            Self::LameDuck => between(dice, 3_000, 8_000),
        }
    }
}

/// In milliseconds.
fn between(dice: &mut Dice, shortest: u32, longest: u32) -> Duration {
    Duration::from_millis(u64::from(shortest + dice.below(longest - shortest)))
}

impl Target {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let replicas = Service::ALL
            .into_iter()
            .flat_map(|service| (0..REPLICAS).map(move |nth| Self::Replica(service, nth)));
        [Self::Server].into_iter().chain(replicas)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("nats-server"),
            Self::Replica(service, nth) => write!(f, "{} {}", service.group(), nth + 1),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "killed",
            Self::Freeze => "frozen",
            Self::Restart => "restarted",
            Self::Cut => "cut off",
            Self::Stall => "stalled",
            Self::Unheard => "unheard",
            Self::LameDuck => "lame duck",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            target,
            kind,
            lasts,
        } = self;
        let (at, lasts) = (at.as_secs_f64(), lasts.as_secs_f64());
        let (target, kind) = (target.to_string(), kind.to_string());
        write!(f, "{at:8.2} s  {target:<18} {kind:<10} {lasts:6.2} s")
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn same_seed_makes_the_same_schedule() {
        assert_eq!(Schedule::new(1, MINUTE), Schedule::new(1, MINUTE));
        assert_ne!(Schedule::new(1, MINUTE), Schedule::new(2, MINUTE));
    }

    #[test]
    fn schedule_of_a_seed_stays_what_it_is() {
        let first = Schedule::new(1, MINUTE).faults[0];
        assert_eq!(
            first.to_string(),
            "    4.68 s  orders-service 1   cut off      5.16 s"
        );
    }

    #[test]
    fn longer_schedule_begins_with_the_shorter() {
        for target in Target::all() {
            let short: Vec<_> = Schedule::new(3, MINUTE).of(target).collect();
            let long: Vec<_> = Schedule::new(3, 5 * MINUTE).of(target).collect();
            assert_eq!(long[..short.len()], short, "{target}");
        }
    }

    #[test]
    fn each_is_in_order_again_before_the_next_fault_and_at_the_end() {
        for seed in 0..50 {
            let schedule = Schedule::new(seed, MINUTE);
            for target in Target::all() {
                let mut free_from = Duration::ZERO;
                for fault in schedule.of(target) {
                    assert!(fault.at > free_from, "seed {seed}: {fault}");
                    free_from = fault.at + fault.lasts;
                }
                assert!(free_from <= MINUTE, "seed {seed}: {target}");
            }
        }
    }

    #[test]
    fn everything_befalls_everybody_in_half_an_hour() {
        let faults = Schedule::new(1, 30 * MINUTE).faults;
        let befell: BTreeSet<_> = faults
            .iter()
            .map(|fault| (fault.target, fault.kind))
            .collect();
        assert_eq!(befell.len(), 6 * OF_REPLICAS.len() + OF_THE_SERVER.len());
        let longer_than_leases = faults
            .iter()
            .filter(|fault| fault.lasts > Duration::from_secs(10));
        assert!(longer_than_leases.count() > 20);
    }
}
