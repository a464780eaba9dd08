use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The largest integer that every JSON reader holds exactly (RFC 8259, section 6).
const LARGEST: u64 = (1 << 53) - 1;

/// Revision of an aggregate: 1 at its creation, plus one for each change that is published.
///
/// At most 2^53 - 1, the largest integer that every JSON reader holds exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Version(u64);

impl Version {
    /// The revision of an aggregate that has just been created.
    pub const FIRST: Self = Self(1);

    /// The revision after this one. It stays where it is at the largest.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 < LARGEST {
            Self(self.0 + 1)
        } else {
            self
        }
    }

    /// The revision before this one; `None` before the first.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        if self.0 > 1 {
            Some(Self(self.0 - 1))
        } else {
            None
        }
    }

    /// The revision as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The revision as a database's BIGINT holds it.
    #[must_use]
    pub const fn to_sql(self) -> i64 {
        self.0.cast_signed()
    }
}

impl TryFrom<u64> for Version {
    type Error = InvalidVersion;

    fn try_from(number: u64) -> Result<Self, InvalidVersion> {
        if (1..=LARGEST).contains(&number) {
            Ok(Self(number))
        } else {
            Err(InvalidVersion { number })
        }
    }
}

impl TryFrom<i64> for Version {
    type Error = InvalidVersion;

    /// Reads a database's BIGINT. A negative number is reported as it would be read unsigned.
    fn try_from(number: i64) -> Result<Self, InvalidVersion> {
        Self::try_from(number.cast_unsigned())
    }
}

impl From<Version> for u64 {
    fn from(version: Version) -> Self {
        version.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": LARGEST })
    }
}

/// The number is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{number} is no version: versions go from 1 to 2^53 - 1")]
pub struct InvalidVersion {
    number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_starts_at_one_and_grows_by_one() {
        assert_eq!(Version::FIRST.get(), 1);
        assert_eq!(Version::FIRST.next().get(), 2);
        assert_eq!(Version::FIRST.previous(), None);
        assert_eq!(Version::FIRST.next().previous(), Some(Version::FIRST));
    }

    #[test]
    fn number_outside_the_range_is_no_version() {
        for number in [0, LARGEST + 1, u64::MAX] {
            assert_eq!(Version::try_from(number), Err(InvalidVersion { number }));
        }
        assert!(Version::try_from(-1_i64).is_err());
        assert!(serde_json::from_str::<Version>("1.0").is_err());
        assert!(serde_json::from_str::<Version>("0").is_err());
        let largest = Version::try_from(LARGEST).unwrap();
        assert_eq!(largest.next(), largest);
    }
}
