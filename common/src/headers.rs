use std::fmt;
use std::str::FromStr;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Headers that travel with an event, beside those that the runtime sets.
///
/// Names are 1 to 64 characters of `A-Z`, `a-z`, `0-9`, `_` and `-`, and case-sensitive. Values are
/// at most 4 KiB of text without control characters. Names that begin with `Nats-`, `ce-` or
/// `dead-letter-` and the name `Content-Type` belong to the runtime: one `Nats-Rollup` can purge a stream.
///
/// ```
/// use common::Headers;
///
/// let headers = Headers::new().with("tenant", "acme")?;
/// assert_eq!(headers.get("tenant"), Some("acme"));
/// assert!(Headers::new().with("Nats-Rollup", "all").is_err());
/// # Ok::<(), common::InvalidHeader>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Headers(HeaderMap);

impl Headers {
    /// No headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These headers and one more; an earlier value of the name is replaced.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] if the name or the value is not as the type says.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        let invalid = |problem| InvalidHeader {
            name: name.escape_default().to_string(),
            problem,
        };
        if !(1..=64).contains(&name.len())
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        {
            return Err(invalid(
                "a name is 1 to 64 characters of A-Z, a-z, 0-9, _ and -",
            ));
        }
        if is_reserved(name) {
            return Err(invalid("the name belongs to the runtime"));
        }
        if value.len() > 4096 || value.chars().any(char::is_control) {
            return Err(invalid(
                "a value is at most 4 KiB without control characters",
            ));
        }
        let value =
            HeaderValue::from_str(value).map_err(|_| invalid("the value has a line break"))?;
        let name = HeaderName::from_str(name).map_err(|_| invalid("the name is no header name"))?;
        self.0.insert(name, value);
        Ok(self)
    }

    /// The first value of the name, which is case-sensitive.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        HeaderName::from_str(name)
            .ok()
            .and_then(|name| self.0.get(name))
            .map(HeaderValue::as_str)
    }

    /// Every name and value, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            values.iter().map(move |value| (name, value.as_str()))
        })
    }

    /// The value of a header whose name is known to this crate, in whatever case others write it.
    ///
    /// If some write it so and some so, our own way counts, then the first in the order of bytes.
    pub(crate) fn known(&self, name: &HeaderName) -> Option<&str> {
        let exact = self.0.get(name.clone()).map(HeaderValue::as_str);
        exact.or_else(|| {
            let text: &str = name.as_ref();
            let named_so = |(other, _): &(&str, &str)| other.eq_ignore_ascii_case(text);
            let first = self
                .firsts()
                .filter(named_so)
                .min_by_key(|(other, _)| *other);
            first.map(|(_, value)| value)
        })
    }

    /// Every name with its first value, in no order.
    pub(crate) fn firsts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, values)| {
            let name: &str = name.as_ref();
            values.first().map(|value| (name, value.as_str()))
        })
    }

    /// Sets a header of the runtime's own. A value that could break the wire format loses what breaks it.
    pub(crate) fn set(&mut self, name: HeaderName, value: impl Into<String>) {
        let mut value = value.into();
        value.retain(|c| c != '\r' && c != '\n');
        self.0.insert(name, HeaderValue::from(value));
    }

    /// What a dead letter keeps of its original: all but commands to the server, and what tells of an
    /// earlier death or pretends to.
    pub(crate) fn without_record(&self) -> Self {
        self.retain(|name| !is_record(name))
    }

    /// Leaves out what `keep` refuses. A name keeps all of its values.
    fn retain(&self, keep: impl Fn(&str) -> bool) -> Self {
        let mut kept = HeaderMap::new();
        // To collect into a map would keep the last value of each name only.
        for (name, values) in self.0.iter().filter(|(name, _)| keep((*name).as_ref())) {
            for value in values {
                kept.append(name.clone(), value.clone());
            }
        }
        Self(kept)
    }

    /// Leaves out what belongs to the runtime: headers of an event that came in may be handed on as they are.
    pub(crate) fn without_reserved(&self) -> Self {
        self.retain(|name| !is_reserved(name))
    }

    pub(crate) fn from_nats(map: HeaderMap) -> Self {
        Self(map)
    }

    pub(crate) fn into_nats(self) -> HeaderMap {
        self.0
    }

    /// What the headers take on the wire, in bytes, the status line included.
    pub(crate) fn wire_len(&self) -> usize {
        let lines: usize = self
            .iter()
            .map(|(name, value)| name.len() + value.len() + ": \r\n".len())
            .sum();
        "NATS/1.0\r\n\r\n".len() + lines
    }
}

fn is_reserved(name: &str) -> bool {
    is_record(name) || starts(name, "ce-") || name.eq_ignore_ascii_case("content-type")
}

/// Whether the header commands the server, or tells of a death.
fn is_record(name: &str) -> bool {
    starts(name, "nats-") || starts(name, "dead-letter-")
}

/// Whether the name begins so, in whatever case.
pub(crate) fn starts(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// A header was refused; nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("header `{name}` is refused: {problem}")]
pub struct InvalidHeader {
    name: String,
    problem: &'static str,
}

/// As a list of pairs: a name may have several values.
impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of header names and values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Headers, A::Error> {
        let mut map = HeaderMap::new();
        while let Some((name, value)) = pairs.next_element::<(String, String)>()? {
            let name = HeaderName::from_str(&name).map_err(de::Error::custom)?;
            let value = HeaderValue::from_str(&value).map_err(de::Error::custom)?;
            map.append(name, value);
        }
        Ok(Headers(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(name: &str, value: &str) {
        assert!(
            Headers::new().with(name, value).is_err(),
            "{name:?}: {value:?}"
        );
    }

    #[test]
    fn hostile_header_is_refused_before_the_wire() {
        refused("tenant", "a\rb");
        refused("tenant", "a\nb");
        refused("tenant", "a\0b");
        refused("tenant", &"x".repeat(4097));
        refused("ten ant", "a");
        refused("tenant:", "a");
        refused("", "a");
        refused("Nats-Rollup", "all");
        refused("nats-msg-id", "1");
        refused("ce-id", "1");
        refused("Content-Type", "text/plain");
    }

    #[test]
    fn headers_that_came_in_lose_what_commands_the_server_and_nothing_else() {
        let pairs =
            r#"[["Nats-Rollup","all"],["nats-TTL","1"],["ce-id","1"],["via","a"],["via","b"]]"#;
        let received: Headers = serde_json::from_str(pairs).unwrap();

        let kept = received.without_reserved();

        let kept: Vec<_> = kept.iter().collect();
        assert_eq!(kept, [("via", "a"), ("via", "b")]);
    }

    #[test]
    fn name_is_known_in_any_case_and_always_as_the_same() {
        let received = |pairs| serde_json::from_str::<Headers>(pairs).unwrap();
        let id = HeaderName::from_static("ce-id");
        for (pairs, value) in [
            (r#"[["CE-ID","a"]]"#, Some("a")),
            (r#"[["Ce-Id","a"],["ce-id","b"]]"#, Some("b")),
            (r#"[["Ce-Id","a"],["CE-ID","b"],["cE-iD","c"]]"#, Some("b")),
            (r#"[["ce-id2","a"],["id","b"]]"#, None),
        ] {
            for _ in 0..8 {
                assert_eq!(received(pairs).known(&id), value, "{pairs}");
            }
        }
    }

    #[test]
    fn headers_survive_storage_as_json() {
        let headers = Headers::new().with("tenant", "Käse \"x\"").unwrap();
        let json = serde_json::to_string(&headers).unwrap();
        assert_eq!(serde_json::from_str::<Headers>(&json).unwrap(), headers);
    }
}
