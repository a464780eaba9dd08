use std::fmt;
use std::str::FromStr;

/// Why a message is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The handler said that it never will succeed.
    Rejected,
    /// Every attempt failed.
    Exhausted,
    /// It is no event of its channel.
    Undecodable,
    /// No replica knew the channel or the form for an hour.
    Unknown,
    /// Its predecessor can never come.
    PredecessorMissing,
    /// Its headers kill whoever receives it.
    Poison,
    /// The server delivered it as often as it may, and nobody settled it. The runner never saw to it.
    GivenUp,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: &'static [Self] = &[
        Self::Rejected,
        Self::Exhausted,
        Self::Undecodable,
        Self::Unknown,
        Self::PredecessorMissing,
        Self::Poison,
        Self::GivenUp,
    ];

    /// The kind as its letter says it: `attempts-exhausted`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Exhausted => "attempts-exhausted",
            Self::Undecodable => "undecodable",
            Self::Unknown => "unknown",
            Self::PredecessorMissing => "predecessor-missing",
            Self::Poison => "poison",
            Self::GivenUp => "given-up",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let kind = Self::ALL.iter().find(|kind| kind.as_str() == text);
        kind.copied().ok_or_else(|| UnknownKind {
            text: text.to_owned(),
        })
    }
}

/// A text that is no kind of dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no kind; there are {}", Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", "))]
pub struct UnknownKind {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_is_read_as_it_is_written() {
        for &kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let err = "gone".parse::<Kind>().unwrap_err();
        assert!(err.to_string().contains("given-up"), "{err}");
    }
}
