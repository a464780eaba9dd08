use std::fmt;
use std::num::NonZeroU32;

/// Who does what with which ticket: the same seed makes the same plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Every ticket, in the order in which they are listed.
    pub(crate) tickets: Vec<PlannedTicket>,
}

/// A ticket, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedTicket {
    pub(crate) title: String,
    /// In minor currency units.
    pub(crate) price: u32,
    pub(crate) seller: Person,
    /// The price that the seller asks instead, before anybody may buy.
    pub(crate) new_price: Option<u32>,
    pub(crate) story: Story,
}

/// What buyers do with one ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Story {
    /// One orders and pays.
    Pays(Person),
    /// One's card is declined, and another card pays.
    IsDeclinedFirst(Person),
    /// One orders and cancels; the next one pays.
    Cancels(Person, Person),
    /// One orders and never pays, and the seller may not touch the price meanwhile; the next one pays.
    LetsExpire(Person, Person),
    /// Several order at once: one of them gets the ticket, and pays.
    Contest(Vec<Person>),
    /// One pays, and cancels so many milliseconds later. Either wins.
    PaysAndCancels(Person, u32),
    /// One pays so many milliseconds before the order expires. Either wins.
    PaysAtTheLastMoment(Person, u32),
    /// The gateway takes the money of one and never says so; the same one then tries another card.
    GatewayFallsSilent(Person),
    /// Nobody wants it.
    StaysUnsold,
}

/// Somebody with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Person {
    Seller(u32),
    Buyer(u32),
}

/// How many tickets and buyers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) tickets: NonZeroU32,
    pub(crate) buyers: NonZeroU32,
}

/// The kinds of story, and how many of a hundred tickets have each. What has none is told once.
const KINDS: [(Kind, u64); 9] = [
    (Kind::Contest, 18),
    (Kind::Pays, 34),
    (Kind::PaysAndCancels, 10),
    (Kind::LetsExpire, 8),
    (Kind::IsDeclinedFirst, 10),
    (Kind::Cancels, 10),
    (Kind::StaysUnsold, 6),
    (Kind::PaysAtTheLastMoment, 4),
    (Kind::GatewayFallsSilent, 0),
];

/// The same where everything goes wrong anyway: gateways fall silent more often.
const KINDS_IN_ROUGH_WEATHER: [(Kind, u64); 9] = [
    (Kind::Contest, 18),
    (Kind::Pays, 26),
    (Kind::PaysAndCancels, 10),
    (Kind::LetsExpire, 8),
    (Kind::IsDeclinedFirst, 10),
    (Kind::Cancels, 10),
    (Kind::StaysUnsold, 6),
    (Kind::PaysAtTheLastMoment, 4),
    (Kind::GatewayFallsSilent, 8),
];

/// What people must reckon with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Every request is answered, and soon.
    Calm,
    /// Services die, freeze and are cut off. Who hears nothing asks the next replica, and looks up what became of
    /// the first request where that matters.
    Rough,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Pays,
    IsDeclinedFirst,
    Cancels,
    LetsExpire,
    Contest,
    PaysAndCancels,
    PaysAtTheLastMoment,
    GatewayFallsSilent,
    StaysUnsold,
}

impl Plan {
    /// Makes the plan. Every kind of story is in it if there are tickets enough.
    pub(crate) fn new(size: Size, seed: u64, weather: Weather) -> Self {
        let mut dice = Dice::new(seed);
        let weights = match weather {
            Weather::Calm => &KINDS,
            Weather::Rough => &KINDS_IN_ROUGH_WEATHER,
        };
        let mut kinds: Vec<Kind> = weights
            .iter()
            .map(|&(kind, _)| kind)
            .chain(std::iter::repeat_with(|| Kind::drawn(weights, &mut dice)))
            .take(size.tickets.get() as usize)
            .collect();
        dice.shuffle(&mut kinds);
        let sellers = size.tickets.get().div_ceil(10);
        let tickets = kinds
            .into_iter()
            .enumerate()
            .map(|(nth, kind)| PlannedTicket::drawn(nth, kind, sellers, size.buyers, &mut dice))
            .collect();
        Self { tickets }
    }
}

impl PlannedTicket {
    fn drawn(nth: usize, kind: Kind, sellers: u32, buyers: NonZeroU32, dice: &mut Dice) -> Self {
        const SHOWS: [&str; 6] = [
            "Blues night",
            "Chess final",
            "Harbour tour",
            "Late show",
            "Opening night",
            "String quartet",
        ];

        let price = 500 + 50 * dice.below(500);
        Self {
            title: format!("{}, seat {}", dice.one_of(&SHOWS), nth + 1),
            price,
            seller: Person::Seller(1 + dice.below(sellers)),
            new_price: (dice.below(4) == 0).then(|| price + 50 * (1 + dice.below(20))),
            story: Story::drawn(kind, buyers, dice),
        }
    }
}

impl Story {
    fn drawn(kind: Kind, buyers: NonZeroU32, dice: &mut Dice) -> Self {
        let mut buyer = || Person::Buyer(1 + dice.below(buyers.get()));
        match kind {
            Kind::Pays => Self::Pays(buyer()),
            Kind::IsDeclinedFirst => Self::IsDeclinedFirst(buyer()),
            Kind::Cancels => Self::Cancels(buyer(), buyer()),
            Kind::LetsExpire => Self::LetsExpire(buyer(), buyer()),
            Kind::PaysAndCancels => Self::PaysAndCancels(buyer(), dice.below(300)),
            Kind::PaysAtTheLastMoment => Self::PaysAtTheLastMoment(buyer(), 5 + dice.below(60)),
            Kind::GatewayFallsSilent => Self::GatewayFallsSilent(buyer()),
            Kind::StaysUnsold => Self::StaysUnsold,
            Kind::Contest => {
                let first = dice.below(buyers.get());
                let contenders = 3 + dice.below(6);
                // Neighbours are distinct; with fewer buyers than contenders some try from several windows.
                let nth = |n: u32| Person::Buyer(1 + (first + n) % buyers);
                Self::Contest((0..contenders).map(nth).collect())
            }
        }
    }

    /// Whether most of the story is waiting. Those are begun first, so that they do not end last.
    pub(crate) fn is_slow(&self) -> bool {
        match self {
            Self::LetsExpire(..) | Self::PaysAtTheLastMoment(..) | Self::GatewayFallsSilent(..) => {
                true
            }
            Self::Pays(..)
            | Self::IsDeclinedFirst(..)
            | Self::Cancels(..)
            | Self::Contest(..)
            | Self::PaysAndCancels(..)
            | Self::StaysUnsold => false,
        }
    }
}

impl Kind {
    fn drawn(weights: &[(Self, u64)], dice: &mut Dice) -> Self {
        let mut left = u64::from(dice.below(100));
        for &(kind, weight) in weights {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        Self::Pays
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seller(number) => write!(f, "seller-{number}"),
            Self::Buyer(number) => write!(f, "buyer-{number}"),
        }
    }
}

/// `SplitMix64`: small, quick, and the same on every platform and for ever. No secret.
#[derive(Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end - 1`; 0 if `end` is 0. The upper half of a roll, scaled.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        let scaled = (self.roll() >> 32) * u64::from(end);
        u32::try_from(scaled >> 32).unwrap_or_default()
    }

    fn one_of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        let nth = self.below(u32::try_from(list.len()).unwrap_or(u32::MAX));
        list[nth as usize]
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let other = self.below(u32::try_from(last + 1).unwrap_or(u32::MAX));
            list.swap(last, other as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::mem::{Discriminant, discriminant};

    use super::*;

    fn plan(tickets: u32, buyers: u32, seed: u64) -> Plan {
        let size = Size {
            tickets: NonZeroU32::new(tickets).unwrap(),
            buyers: NonZeroU32::new(buyers).unwrap(),
        };
        Plan::new(size, seed, Weather::Calm)
    }

    fn kinds(plan: &Plan) -> Vec<Discriminant<Story>> {
        plan.tickets
            .iter()
            .map(|ticket| discriminant(&ticket.story))
            .collect()
    }

    #[test]
    fn same_seed_makes_the_same_plan() {
        assert_eq!(plan(200, 30, 7), plan(200, 30, 7));
        assert_ne!(plan(200, 30, 7), plan(200, 30, 8));
    }

    #[test]
    fn every_kind_of_story_is_told() {
        for seed in 0..20 {
            let mut kinds = kinds(&plan(9, 5, seed));
            kinds.sort_by_key(|kind| format!("{kind:?}"));
            kinds.dedup();
            assert_eq!(kinds.len(), KINDS.len(), "seed {seed}");
        }
    }

    #[test]
    fn weights_are_of_a_hundred() {
        for weights in [KINDS, KINDS_IN_ROUGH_WEATHER] {
            assert_eq!(weights.iter().map(|(_, weight)| weight).sum::<u64>(), 100);
        }
    }

    #[test]
    fn gateway_falls_silent_once_in_calm_weather() {
        let silent = |story: &Story| matches!(story, Story::GatewayFallsSilent(..));
        let plan = plan(500, 50, 3);
        assert_eq!(
            plan.tickets
                .iter()
                .filter(|ticket| silent(&ticket.story))
                .count(),
            1
        );
    }

    #[test]
    fn smallest_plan_is_a_plan() {
        assert_eq!(plan(1, 1, 0).tickets.len(), 1);
    }

    #[test]
    fn contenders_differ_where_there_are_buyers_enough() {
        for ticket in plan(300, 8, 1).tickets {
            if let Story::Contest(mut contenders) = ticket.story {
                let all = contenders.len();
                assert!((3..=8).contains(&all), "{contenders:?}");
                contenders.sort_by_key(ToString::to_string);
                contenders.dedup();
                assert_eq!(contenders.len(), all);
            }
        }
    }

    #[test]
    fn dice_are_fair_enough() {
        let mut dice = Dice::new(1);
        let mut seen = BTreeMap::new();
        for _ in 0..6000 {
            *seen.entry(dice.below(6)).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 6);
        assert!(
            seen.values().all(|count| (850..1150).contains(count)),
            "{seen:?}"
        );
    }

    #[test]
    fn dice_are_splitmix64() {
        // The first numbers of the reference implementation for seed 1234567.
        let mut dice = Dice::new(1_234_567);
        assert_eq!(dice.roll(), 6_457_827_717_110_365_317);
        assert_eq!(dice.roll(), 3_203_168_211_198_807_973);
    }
}
