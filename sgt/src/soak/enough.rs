//! Whether the run can show anything: where nothing goes on, nothing is lost.

use super::chaos::Faults;
use super::schedule::{Kind, Schedule};
use crate::market::counted::Counted;
use crate::market::counts::Orders;

/// As many orders as this must be paid in a minute. A sound run has ten times as many, whatever befalls it.
const COMPLETE_A_MINUTE: usize = 10;
/// As many as this must be cancelled or expire in a minute.
const CANCELLED_A_MINUTE: usize = 3;

/// What is missing, one line each.
pub(super) fn missing(
    minutes: u32,
    schedule: &Schedule,
    faults: &Faults,
    orders: &Orders,
) -> Vec<String> {
    let mut missing = Vec::new();
    let (planned, happened) = (schedule.faults.len(), faults.total());
    if happened != planned {
        missing.push(format!(
            "{} of {planned} happened",
            Counted(happened, "fault")
        ));
    }
    if !faults.by_kind().contains_key(&Kind::Kill) {
        missing.push("nothing was killed: take another seed, or more minutes".to_owned());
    }
    let minutes = minutes as usize;
    for (what, orders, least) in [
        ("paid", orders.complete, COMPLETE_A_MINUTE * minutes),
        ("cancelled", orders.cancelled, CANCELLED_A_MINUTE * minutes),
    ] {
        if orders < least {
            missing.push(format!(
                "{} {what}, and {least} is the least",
                Counted(orders, "order")
            ));
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soak() -> (Schedule, Faults, Orders) {
        let schedule = Schedule::new(1, Duration::from_mins(2));
        let mut faults = Faults::default();
        for fault in &schedule.faults {
            *faults.0.entry((fault.target, fault.kind)).or_default() += 1;
        }
        let orders = Orders {
            complete: 200,
            cancelled: 50,
            open: 0,
        };
        (schedule, faults, orders)
    }

    #[test]
    fn busy_run_shows_something() {
        let (schedule, faults, orders) = soak();
        assert!(missing(2, &schedule, &faults, &orders).is_empty());
    }

    #[test]
    fn run_without_orders_shows_nothing() {
        let (schedule, faults, _) = soak();
        let none = Orders {
            complete: 0,
            cancelled: 5,
            open: 0,
        };
        assert_eq!(
            missing(2, &schedule, &faults, &none),
            [
                "0 orders paid, and 20 is the least",
                "5 orders cancelled, and 6 is the least"
            ]
        );
    }

    #[test]
    fn run_in_which_not_everything_went_wrong_shows_nothing() {
        let (schedule, mut faults, orders) = soak();
        faults.0.retain(|(_, kind), _| *kind == Kind::Freeze);
        let missing = missing(2, &schedule, &faults, &orders);
        assert!(
            missing[0].ends_with(&format!(" of {} happened", schedule.faults.len())),
            "{missing:?}"
        );
        assert!(missing[1].starts_with("nothing was killed"), "{missing:?}");
    }
}
