use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How long a title may be, in characters.
const LONGEST: usize = 200;

/// No control characters, and no space at either end.
const PATTERN: &str = concat!(
    "^[^\\u0000-\\u0020\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]",
    "([^\\u0000-\\u001f\\u007f-\\u009f]*",
    "[^\\u0000-\\u0020\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000])?$",
);

/// What a seller calls a ticket: 1 to 200 characters without space around them, and no control characters.
///
/// Space around the text is taken off when it is read. Whoever stores a title needs no check of its own:
/// PostgreSQL takes no NUL, and no page shows the other control characters.
///
/// ```
/// use common::events::Title;
///
/// let title: Title = " Concert, row 12 ".parse()?;
/// assert_eq!(title.as_str(), "Concert, row 12");
/// assert!("Concert\0".parse::<Title>().is_err());
/// # Ok::<(), common::events::InvalidTitle>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct Title(Box<str>);

impl Title {
    /// The title as its seller wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Title {
    type Err = InvalidTitle;

    fn from_str(text: &str) -> Result<Self, InvalidTitle> {
        let text = text.trim();
        if !(1..=LONGEST).contains(&text.chars().count()) {
            return Err(InvalidTitle::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidTitle::ControlCharacter);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<Cow<'_, str>> for Title {
    type Error = InvalidTitle;

    fn try_from(text: Cow<'_, str>) -> Result<Self, InvalidTitle> {
        text.parse()
    }
}

impl From<Title> for String {
    fn from(title: Title) -> Self {
        title.0.into()
    }
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Title {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Title".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST,
            "pattern": PATTERN,
        })
    }
}

/// The text is no title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTitle {
    /// It is empty, but for space, or longer than 200 characters.
    #[error("title must have 1 to 200 characters")]
    Length,
    /// It has a control character, such as NUL or a line break.
    #[error("title must not have control characters")]
    ControlCharacter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, InvalidTitle>) {
        let json = serde_json::Value::from(text);
        let read = serde_json::from_value::<Title>(json).ok();
        let title = text.parse::<Title>();
        assert_eq!(read, title.clone().ok(), "read from JSON");
        assert_eq!(
            title.as_ref().map(Title::as_str).map_err(|&err| err),
            expected
        );
    }

    #[test]
    fn title_is_trimmed_and_bounded() {
        check("  a b ", Ok("a b"));
        check(&"é".repeat(200), Ok(&"é".repeat(200)));
        check(&"é".repeat(201), Err(InvalidTitle::Length));
        check("", Err(InvalidTitle::Length));
        check("\u{3000}\n", Err(InvalidTitle::Length));
        check("a\u{0}", Err(InvalidTitle::ControlCharacter));
        check("a\u{7f}b", Err(InvalidTitle::ControlCharacter));
    }
}
