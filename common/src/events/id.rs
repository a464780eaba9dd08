use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::name::Key;

/// Hyphenated, either case (RFC 9562, section 4), version 7.
const UUID_V7: &str =
    "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$";

/// Reads and writes an id as its text, without a copy on the way in.
macro_rules! impl_serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextVisitor(PhantomData))
            }
        }
    };
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err = InvalidId>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id as text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Ids that we make: UUIDs of version 7, so that they sort by the moment they were made.
macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        ///
        /// A UUID of version 7 (RFC 9562): ids sort by the moment they were made.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl_serde_as_text!($name);

        impl $name {
            /// A new id, greater than every id this process made before.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "a default that differs each time surprises")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id as the key of an event.
            #[must_use]
            pub fn to_key(self) -> Key {
                Key::from_valid(self.to_string())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_v7(text).map(Self).ok_or_else(|| InvalidId {
                    what: stringify!($name),
                    must_be: "a UUID of version 7",
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": "uuid", "pattern": UUID_V7 })
            }
        }
    )+};
}

uuid_ids! {
    /// A ticket, for its whole life.
    TicketId;
    /// An order, for its whole life.
    OrderId;
    /// A payment, for its whole life.
    PaymentId;
}

/// Ids that another system made: opaque text.
macro_rules! foreign_ids {
    ($($(#[$doc:meta])* $name:ident, $longest:literal, $pattern:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl_serde_as_text!($name);

        impl $name {
            /// The id as its maker wrote it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if (1..=$longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId {
                        what: stringify!($name),
                        must_be: concat!("1 to ", $longest, " printable ASCII characters"),
                    })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    )+};
}

foreign_ids! {
    /// A user, as the identity provider names one: 1 to 128 printable ASCII characters.
    UserId, 128, "^[!-~]{1,128}$";
    /// A charge, as the payment gateway names one: 1 to 255 printable ASCII characters.
    ChargeId, 255, "^[!-~]{1,255}$";
    /// A refund, as the payment gateway names one: 1 to 255 printable ASCII characters.
    RefundId, 255, "^[!-~]{1,255}$";
}

/// The text is no such id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: it must be {must_be}")]
pub struct InvalidId {
    what: &'static str,
    must_be: &'static str,
}

fn parse_v7(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    let hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
    let v7 = uuid.get_version_num() == 7 && uuid.get_variant() == uuid::Variant::RFC4122;
    (hyphenated && v7).then_some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        assert_eq!(text.parse::<TicketId>().is_ok(), valid, "{text}");
    }

    #[test]
    fn id_is_a_hyphenated_uuid_of_version_7() {
        check("0198c0de-0000-7000-8000-00000000000a", true);
        check("0198C0DE-0000-7000-8000-00000000000A", true);
        check("0198c0de-0000-4000-8000-00000000000a", false);
        check("0198c0de-0000-7000-c000-00000000000a", false);
        check("0198c0de00007000800000000000000a", false);
        check("{0198c0de-0000-7000-8000-00000000000a}", false);
        check("", false);
        check("1", false);
    }

    #[test]
    fn id_is_written_in_lower_case() {
        let id: TicketId = "0198C0DE-0000-7000-8000-00000000000A".parse().unwrap();
        assert_eq!(id.to_key().as_str(), "0198c0de-0000-7000-8000-00000000000a");
    }

    #[test]
    fn newer_id_sorts_after_older_one() {
        let older = OrderId::new();
        assert!(older < OrderId::new());
    }

    #[test]
    fn foreign_id_is_bounded_printable_text() {
        assert!("alice".parse::<UserId>().is_ok());
        for text in ["", "a b", "a\n", &"x".repeat(129)] {
            assert!(text.parse::<UserId>().is_err(), "{text:?}");
        }
    }
}
