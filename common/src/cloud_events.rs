//! CloudEvents 1.0 in binary mode, as the NATS protocol binding writes it: one header per attribute.

use std::borrow::Cow;

use async_nats::HeaderName;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

pub(crate) mod structured;

macro_rules! header_names {
    ($($name:ident = $text:literal;)+) => {
        $(pub(crate) const $name: HeaderName = HeaderName::from_static($text);)+
    };
}

header_names! {
    SPEC_VERSION = "ce-specversion";
    ID = "ce-id";
    TYPE = "ce-type";
    SOURCE = "ce-source";
    SUBJECT = "ce-subject";
    TIME = "ce-time";
    DATA_SCHEMA = "ce-dataschema";
    CORRELATION_ID = "ce-correlationid";
    CAUSATION_ID = "ce-causationid";
    DATA_CONTENT_TYPE = "ce-datacontenttype";
    CE_TRACE_PARENT = "ce-traceparent";
    CE_TRACE_STATE = "ce-tracestate";
    CONTENT_TYPE = "Content-Type";
    TRACE_PARENT = "traceparent";
    TRACE_STATE = "tracestate";
    MSG_ID = "Nats-Msg-Id";
}

const DATA_SCHEMA_PREFIX: &str = "urn:sgtickets:";

/// What the binding encodes: everything outside U+0021 to U+007E, the double quote and the percent sign.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

pub(crate) fn encode(value: &str) -> Cow<'_, str> {
    utf8_percent_encode(value, ENCODED).into()
}

/// Reads what [`encode`] wrote, and what others wrote without encoding: what cannot be decoded stays as it is.
pub(crate) fn decode(value: &str) -> Cow<'_, str> {
    try_decode(value).unwrap_or(Cow::Borrowed(value))
}

/// Takes away the quotes of a quoted string, and then one round of percent-encoding. `None`: the
/// bytes that come of it are no UTF-8, which the binding rejects.
pub(crate) fn try_decode(value: &str) -> Option<Cow<'_, str>> {
    match unquoted(value) {
        Cow::Borrowed(text) => percent_decode_str(text).decode_utf8().ok(),
        Cow::Owned(text) => {
            let decoded = percent_decode_str(&text).decode_utf8().ok()?;
            Some(Cow::Owned(decoded.into_owned()))
        }
    }
}

/// The content of a quoted string (RFC 7230, section 3.2.6), as earlier versions of the binding
/// wrote them. What is none stays as it is.
fn unquoted(value: &str) -> Cow<'_, str> {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains(['"', '\\']) => Cow::Borrowed(inner),
        Some(inner) => unescaped(inner).map_or(Cow::Borrowed(value), Cow::Owned),
        None => Cow::Borrowed(value),
    }
}

/// `None`: a quote stands alone, or a backslash.
fn unescaped(inner: &str) -> Option<String> {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(next) = rest.next() {
        match next {
            '"' => return None,
            '\\' => text.push(rest.next()?),
            other => text.push(other),
        }
    }
    Some(text)
}

/// A media type without its parameters.
fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether the media type says that the data is JSON (JSON format, section 3.1.1).
pub(crate) fn is_json(content_type: &str) -> bool {
    let media_type = media_type(content_type).to_ascii_lowercase();
    let subtype = media_type
        .split_once('/')
        .map_or("", |(_, subtype)| subtype);
    subtype == "json" || subtype.ends_with("+json")
}

/// Names one form of one event: `urn:sgtickets:ticket.created:1`.
pub(crate) fn data_schema(channel: &str, version: usize) -> String {
    format!("{DATA_SCHEMA_PREFIX}{}:{version}", file_stem(channel))
}

/// The channel as a file name has it: `ticket.created`.
pub(crate) fn file_stem(channel: &str) -> String {
    stem(channel).collect()
}

fn stem(channel: &str) -> impl Iterator<Item = char> {
    channel.chars().map(|c| if c == ':' { '.' } else { c })
}

/// The name is one of ours, and of no form of the channel's event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoForm;

/// The number of the form of the channel's event that [`data_schema`] named. `None`: the name is
/// somebody else's, and says nothing to us.
pub(crate) fn schema_version(data_schema: &str, channel: &str) -> Result<Option<usize>, NoForm> {
    let Some(ours) = data_schema.strip_prefix(DATA_SCHEMA_PREFIX) else {
        return Ok(None);
    };
    let (event, version) = ours.rsplit_once(':').ok_or(NoForm)?;
    let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    if !event.chars().eq(stem(channel)) || !is_number {
        return Err(NoForm);
    }
    // More than the type can hold is newer than everything.
    match version.parse().unwrap_or(usize::MAX) {
        0 => Err(NoForm),
        version => Ok(Some(version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(plain: &str, encoded: &str) {
        assert_eq!(encode(plain), encoded);
        assert_eq!(decode(encoded), plain);
    }

    // The binding's text, working draft 1.0.3, section 3.1.3.2.

    #[test]
    fn value_is_encoded_as_in_the_bindings_example() {
        check("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80");
    }

    #[test]
    fn every_character_is_encoded_that_the_binding_names_and_no_other() {
        check(" ", "%20");
        check("\"", "%22");
        check("%", "%25");
        check("a\r\nb", "a%0D%0Ab");
        check("é", "%C3%A9");
        check("\u{80}\u{9f}", "%C2%80%C2%9F");
        check("\u{10ffff}", "%F4%8F%BF%BF");
        for byte in 0..=0x7f_u8 {
            let plain = char::from(byte).to_string();
            let encoded = encode(&plain);
            let is_kept = matches!(byte, 0x21..=0x7e) && !matches!(byte, b'"' | b'%');
            assert_eq!(encoded == plain, is_kept, "{byte:#x}");
            assert!(is_kept || *encoded == *format!("%{byte:02X}"), "{encoded}");
            assert_eq!(decode(&encoded), plain);
        }
    }

    #[test]
    fn value_that_need_not_be_encoded_is_decoded_once() {
        for (encoded, plain) in [
            ("%61bc", "abc"),
            ("%e2%82%ac", "€"),
            ("%2525", "%25"),
            ("%2F%74ickets", "/tickets"),
        ] {
            assert_eq!(try_decode(encoded).as_deref(), Some(plain), "{encoded}");
        }
    }

    #[test]
    fn quoted_string_of_an_earlier_binding_is_unescaped_first() {
        for (quoted, plain) in [
            (r#""""#, ""),
            (r#""a b""#, "a b"),
            (r#""a \"b\" \\c""#, r#"a "b" \c"#),
            (r#""Euro%20\%E2%82%AC""#, "Euro €"),
        ] {
            assert_eq!(try_decode(quoted).as_deref(), Some(plain), "{quoted}");
        }
        for no_quoted_string in [r#"""#, r#""a" or "b""#, r#""a\""#, r#"a"b"#, r#""a"#] {
            assert_eq!(decode(no_quoted_string), no_quoted_string);
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_no_value() {
        // The first is the binding's own: a space, longer than it must be.
        for encoded in ["%C0%A0", "%FF", "a%E2%82", "\"%ED%A0%80\""] {
            assert_eq!(try_decode(encoded), None, "{encoded}");
            assert_eq!(decode(encoded), encoded, "for those who only show it");
        }
    }

    #[test]
    fn percent_sign_that_nobody_encoded_stays() {
        for raw in ["100%", "%", "%zz", "5 % of 10", "%2", "Käse"] {
            assert_eq!(try_decode(raw).as_deref(), Some(raw));
        }
    }

    #[test]
    fn schema_name_carries_the_version() {
        let channel = "ticket:created";
        let name = data_schema(channel, 2);
        assert_eq!(name, "urn:sgtickets:ticket.created:2");
        assert_eq!(schema_version(&name, channel), Ok(Some(2)));
        let endless = format!("urn:sgtickets:ticket.created:{}", "9".repeat(40));
        assert_eq!(schema_version(&endless, channel), Ok(Some(usize::MAX)));
        for somebody_elses in [
            "urn:other:ticket.created:2",
            "https://example.com/2",
            "",
            "2",
        ] {
            assert_eq!(schema_version(somebody_elses, channel), Ok(None));
        }
        for none in [
            "ticket.updated:1",
            "ticket.created:0",
            "ticket.created:00",
            "ticket.created:-1",
            "ticket.created:+1",
            "ticket.created:1.0",
            "ticket.created:",
            "ticket.created",
            "ticket:created:1",
            "",
        ] {
            let name = format!("urn:sgtickets:{none}");
            assert_eq!(schema_version(&name, channel), Err(NoForm), "{none}");
        }
    }

    #[test]
    fn media_type_says_whether_it_is_json() {
        for json in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "text/json",
            "application/vnd.acme+json",
        ] {
            assert!(is_json(json), "{json}");
        }
        for other in [
            "",
            "json",
            "application/xml",
            "application/json5",
            "text/plain; a/json",
        ] {
            assert!(!is_json(other), "{other}");
        }
    }
}
