use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The name of a stream, and whether the server may hold scheduled messages in it.
///
/// Names are upper-case ASCII letters, digits and `_`, at most 32 characters: safe as a NATS token
/// and as a file name on every system a server runs on (ADR-6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamName {
    name: &'static str,
    schedules: Schedules,
}

/// Whether a stream accepts scheduled messages (ADR-51).
///
/// A scheduling stream cannot refuse new messages when it is full and allows rollups, so only the
/// streams that need schedules have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Schedules {
    /// Events are stored when they are published.
    Refused,
    /// An event may be published now for a later moment.
    Accepted,
}

impl StreamName {
    /// A stream of events that are stored when they are published.
    ///
    /// # Panics
    ///
    /// If the name is not 1 to 32 characters of `A-Z`, `0-9` and `_`. In a constant, that is a
    /// compile error.
    #[must_use]
    #[track_caller]
    pub const fn new(name: &'static str) -> Self {
        assert!(
            is_made_of(name, 32, Alphabet::Upper),
            "a stream name is 1 to 32 characters of A-Z, 0-9 and _"
        );
        Self {
            name,
            schedules: Schedules::Refused,
        }
    }

    /// A stream whose events may be published for a later moment.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    #[must_use]
    #[track_caller]
    pub const fn scheduled(name: &'static str) -> Self {
        Self {
            schedules: Schedules::Accepted,
            ..Self::new(name)
        }
    }

    /// The name as the server knows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// Whether scheduled messages are accepted.
    #[must_use]
    pub const fn schedules(self) -> Schedules {
        self.schedules
    }

    pub(crate) fn takes_schedules(self) -> bool {
        match self.schedules {
            Schedules::Accepted => true,
            Schedules::Refused => false,
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A service as a reader and writer of events: its replicas share the events of each channel.
///
/// It is the name of the group's durable consumer on every stream it reads, and of the service that
/// publishes. Names are lower-case ASCII letters, digits and `-`, at most 32 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueueGroup(&'static str);

impl QueueGroup {
    /// A queue group of this name.
    ///
    /// # Panics
    ///
    /// If the name is not 1 to 32 characters of `a-z`, `0-9` and `-`. In a constant, that is a
    /// compile error.
    #[must_use]
    #[track_caller]
    pub const fn new(name: &'static str) -> Self {
        assert!(
            is_made_of(name, 32, Alphabet::Lower),
            "a queue group is 1 to 32 characters of a-z, 0-9 and -"
        );
        Self(name)
    }

    /// The name as the server knows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether this group is one of `groups`. Usable in constants.
    #[must_use]
    pub const fn is_one_of(self, groups: &[Self]) -> bool {
        let mut rest = groups;
        while let [group, tail @ ..] = rest {
            if same(group.0.as_bytes(), self.0.as_bytes()) {
                return true;
            }
            rest = tail;
        }
        false
    }
}

impl fmt::Display for QueueGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What an event is about: the id of its aggregate, and the second token of its NATS subject.
///
/// 1 to 64 characters of `A-Z`, `a-z`, `0-9`, `_` and `-`. Anything else could be read by the
/// server as a wildcard or a token of its own, and is refused before it reaches the wire. As a field
/// of an event it is text, and checked when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct Key(Box<str>);

impl Key {
    /// A key of this text.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if the text is not 1 to 64 characters of `A-Z`, `a-z`, `0-9`, `_` and `-`.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, InvalidKey> {
        let text = text.into();
        if is_made_of(&text, 64, Alphabet::Key) {
            Ok(Self(text))
        } else {
            Err(InvalidKey { text })
        }
    }

    /// The key as it stands in the subject.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For the values of this crate whose text is a valid key by construction.
    pub(crate) fn from_valid(text: String) -> Self {
        debug_assert!(is_made_of(&text, 64, Alphabet::Key), "not a key: {text:?}");
        Self(text.into_boxed_str())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl TryFrom<Box<str>> for Key {
    type Error = InvalidKey;

    fn try_from(text: Box<str>) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl From<Key> for Box<str> {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl JsonSchema for Key {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" })
    }
}

/// The text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no key: 1 to 64 characters of A-Z, a-z, 0-9, _ and -")]
pub struct InvalidKey {
    text: Box<str>,
}

#[derive(Clone, Copy)]
enum Alphabet {
    Upper,
    Lower,
    Key,
}

const fn is_made_of(text: &str, longest: usize, alphabet: Alphabet) -> bool {
    let mut rest = text.as_bytes();
    if rest.is_empty() || rest.len() > longest {
        return false;
    }
    while let [byte, tail @ ..] = rest {
        let allowed = match alphabet {
            Alphabet::Upper => matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'),
            Alphabet::Lower => matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'),
            Alphabet::Key => {
                matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')
            }
        };
        if !allowed {
            return false;
        }
        rest = tail;
    }
    true
}

pub(crate) const fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        assert_eq!(Key::new(text).is_ok(), valid, "{text:?}");
    }

    #[test]
    fn key_is_one_token_that_no_server_reads_as_a_wildcard() {
        check("a", true);
        check("0198c0de-0000-7000-8000-000000000000", true);
        check(&"k".repeat(64), true);
        check("", false);
        check(&"k".repeat(65), false);
        for text in ["*", ">", "a.b", "a b", "a\r", "a\n", "é", "a:b", "a/b"] {
            check(text, false);
        }
    }

    #[test]
    fn key_that_is_read_is_checked() {
        let key: Key = serde_json::from_str("\"a-1\"").unwrap();
        assert_eq!(serde_json::to_string(&key).unwrap(), "\"a-1\"");
        assert!(serde_json::from_str::<Key>("\"a.*\"").is_err());
    }

    #[test]
    fn group_is_found_among_others() {
        const A: QueueGroup = QueueGroup::new("a");
        const AB: QueueGroup = QueueGroup::new("ab");
        assert!(A.is_one_of(&[AB, A]));
        assert!(!A.is_one_of(&[AB]));
        assert!(!A.is_one_of(&[]));
    }
}
