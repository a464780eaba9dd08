use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The largest integer that every JSON reader holds exactly (RFC 8259, section 6).
const LARGEST: u64 = (1 << 53) - 1;

/// An amount of money in minor units: 2500 is 25.00. From 1 to 2^53 - 1, never a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Cents(u64);

impl Cents {
    /// The amount as a number of minor units.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The amount as a database's BIGINT holds it.
    #[must_use]
    pub const fn to_sql(self) -> i64 {
        self.0.cast_signed()
    }
}

impl TryFrom<u64> for Cents {
    type Error = InvalidCents;

    fn try_from(number: u64) -> Result<Self, InvalidCents> {
        if (1..=LARGEST).contains(&number) {
            Ok(Self(number))
        } else {
            Err(InvalidCents { number })
        }
    }
}

impl TryFrom<i64> for Cents {
    type Error = InvalidCents;

    /// Reads a database's BIGINT. A negative number is reported as it would be read unsigned.
    fn try_from(number: i64) -> Result<Self, InvalidCents> {
        Self::try_from(number.cast_unsigned())
    }
}

impl From<Cents> for u64 {
    fn from(cents: Cents) -> Self {
        cents.0
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl JsonSchema for Cents {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Cents".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": LARGEST })
    }
}

/// The number is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{number} is no amount: amounts go from 1 to 2^53 - 1 minor units")]
pub struct InvalidCents {
    number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amount_is_a_positive_integer_of_minor_units() {
        assert_eq!(Cents::try_from(2500_u64).unwrap().to_string(), "25.00");
        for json in ["0", "-1", "0.5", "25.0", "\"25\"", "9007199254740992"] {
            assert!(serde_json::from_str::<Cents>(json).is_err(), "{json}");
        }
    }
}
