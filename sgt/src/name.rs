//! What the operator types, and what may have been meant.

use std::fmt;
use std::num::NonZeroU32;

/// How alike two names must be, from 0 to 1, for one to be a slip of the other.
const ALIKE: f64 = 0.8;

/// Those that there are, after the one of them that may have been meant.
#[derive(Debug)]
pub(crate) struct Known<'n> {
    name: &'n str,
    all: Vec<&'static str>,
}

impl<'n> Known<'n> {
    pub(crate) fn new(name: &'n str, all: impl IntoIterator<Item = &'static str>) -> Self {
        let all = all.into_iter().collect();
        Self { name, all }
    }

    /// Whether it is one of them.
    pub(crate) fn has_name(&self) -> bool {
        self.all.contains(&self.name)
    }

    fn nearest(&self) -> Option<&'static str> {
        let alike = |known: &&str| strsim::jaro_winkler(self.name, known);
        let nearest = self
            .all
            .iter()
            .max_by(|one, other| alike(one).total_cmp(&alike(other)))?;
        (alike(nearest) >= ALIKE).then_some(*nearest)
    }
}

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all.join(", ");
        match self.nearest() {
            Some(nearest) => write!(f, "did you mean `{nearest}`? There are {all}"),
            None => write!(f, "there are {all}"),
        }
    }
}

/// A number of things that there must be some of.
pub(crate) fn parse_some<N>(text: &str) -> Result<N, String>
where
    N: TryFrom<NonZeroU32, Error: fmt::Display>,
{
    let number: u32 = text.parse().map_err(|err| format!("{err}"))?;
    let number = NonZeroU32::new(number).ok_or("1 is the least")?;
    N::try_from(number).map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU8;

    use super::*;

    #[track_caller]
    fn check(name: &str, said: &str) {
        let known = Known::new(name, ["orders-service", "tickets-service"]);
        assert_eq!(known.to_string(), said);
    }

    #[test]
    fn nearest_name_is_suggested() {
        let all = "There are orders-service, tickets-service";
        check(
            "ticket-service",
            &format!("did you mean `tickets-service`? {all}"),
        );
        check("order", &format!("did you mean `orders-service`? {all}"));
        check("xyz", "there are orders-service, tickets-service");
    }

    #[test]
    fn none_is_not_some() {
        assert_eq!(parse_some::<NonZeroU32>("0").unwrap_err(), "1 is the least");
        assert!(parse_some::<NonZeroU32>("x").is_err());
        assert!(parse_some::<NonZeroU8>("256").is_err());
        assert_eq!(parse_some::<NonZeroU8>("7").unwrap().get(), 7);
    }
}
