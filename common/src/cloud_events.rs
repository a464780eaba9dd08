//! CloudEvents 1.0 in binary mode, as the NATS protocol binding writes it: one header per attribute.

use std::borrow::Cow;

use async_nats::HeaderName;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

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

/// Reads what [`encode`] wrote, and what others wrote without encoding: a sequence that is no UTF-8 stays as it is.
pub(crate) fn decode(value: &str) -> Cow<'_, str> {
    percent_decode_str(value)
        .decode_utf8()
        .unwrap_or(Cow::Borrowed(value))
}

/// Names one form of one event: `urn:sgtickets:ticket.created:1`.
pub(crate) fn data_schema(channel: &str, version: usize) -> String {
    format!("{DATA_SCHEMA_PREFIX}{}:{version}", file_stem(channel))
}

/// The channel as a file name has it: `ticket.created`.
pub(crate) fn file_stem(channel: &str) -> String {
    channel.replace(':', ".")
}

/// The number of the form that [`data_schema`] named. `None`: somebody else's name.
pub(crate) fn schema_version(data_schema: &str) -> Option<usize> {
    let (_, version) = data_schema
        .strip_prefix(DATA_SCHEMA_PREFIX)?
        .rsplit_once(':')?;
    version.parse().ok().filter(|version| *version > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(plain: &str, encoded: &str) {
        assert_eq!(encode(plain), encoded);
        assert_eq!(decode(encoded), plain);
    }

    #[test]
    fn values_are_encoded_as_the_binding_says() {
        check("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80");
        check("\"50%\"", "%2250%25%22");
        check("a\r\nb", "a%0D%0Ab");
        check("/tickets-service", "/tickets-service");
    }

    #[test]
    fn value_that_nobody_encoded_is_read_as_it_is() {
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%FF"), "%FF");
    }

    #[test]
    fn schema_name_carries_the_version() {
        let name = data_schema("ticket:created", 2);
        assert_eq!(name, "urn:sgtickets:ticket.created:2");
        assert_eq!(schema_version(&name), Some(2));
        for other in ["urn:other:x:2", "urn:sgtickets:x:0", "urn:sgtickets:x:", ""] {
            assert_eq!(schema_version(other), None);
        }
    }
}
