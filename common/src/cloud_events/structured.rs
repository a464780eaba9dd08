//! CloudEvents 1.0 in structured mode: attributes and data are members of one JSON object.
//!
//! Others may publish so; we read it and write binary mode.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use super as ce;
use crate::headers::{Headers, starts};

const MEDIA_TYPE: &str = "application/cloudevents";
const JSON_FORMAT: &str = "application/cloudevents+json";

/// What every event must have, beside `specversion`.
const REQUIRED: [&str; 3] = ["id", "source", "type"];

/// The attributes of an event by name, those of extensions too. None of them is empty.
pub(crate) type Attributes = BTreeMap<String, String>;

/// An event that was taken out of its envelope.
#[derive(Debug)]
pub(crate) struct Structured {
    pub(crate) attributes: Attributes,
    pub(crate) data: Bytes,
}

/// Whether the headers say that the payload is an envelope, of whatever format.
pub(crate) fn is_said(headers: &Headers) -> bool {
    headers
        .known(&ce::CONTENT_TYPE)
        .is_some_and(|named| starts(ce::media_type(named), MEDIA_TYPE))
}

/// Takes the event out of its envelope. `None`: there is none, and the payload is the data.
pub(crate) fn open(
    headers: &Headers,
    payload: &Bytes,
) -> Result<Option<Structured>, StructuredError> {
    match headers.known(&ce::CONTENT_TYPE).map(ce::media_type) {
        Some(named)
            if named.eq_ignore_ascii_case(MEDIA_TYPE)
                || named.eq_ignore_ascii_case(JSON_FORMAT) =>
        {
            let members = serde_json::from_slice(payload).map_err(StructuredError::json)?;
            read(&members, payload).map(Some)
        }
        Some(named) if starts(named, MEDIA_TYPE) => {
            let named = named.to_ascii_lowercase();
            Err(StructuredError::Format { named })
        }
        // Until 1.0.2 the binding knew no headers, and some libraries still write none.
        None if headers.known(&ce::SPEC_VERSION).is_none() => match serde_json::from_slice(payload)
        {
            Ok(members) if is_envelope(&members) => read(&members, payload).map(Some),
            _ => Ok(None),
        },
        Some(_) | None => Ok(None),
    }
}

type Members<'p> = BTreeMap<String, &'p RawValue>;

/// Whether an object that nothing is said of can be nothing else.
fn is_envelope(members: &Members<'_>) -> bool {
    let is_text = |name| {
        members
            .get(name)
            .is_some_and(|value| value.get().starts_with('"'))
    };
    is_text("specversion") && REQUIRED.into_iter().all(is_text)
}

fn read(members: &Members<'_>, payload: &Bytes) -> Result<Structured, StructuredError> {
    let mut attributes = Attributes::new();
    for (name, value) in members {
        if name == "data" || name == "data_base64" {
            continue;
        }
        if let Some(value) = attribute(name, value)? {
            attributes.insert(name.clone(), value);
        }
    }
    match attributes.get("specversion").map(String::as_str) {
        Some("1.0") => (),
        other => {
            let named = other.unwrap_or_default().to_owned();
            return Err(StructuredError::SpecVersion { named });
        }
    }
    if let Some(name) = REQUIRED
        .iter()
        .find(|name| !attributes.contains_key(**name))
    {
        return Err(StructuredError::Missing { name });
    }
    let is_json = attributes
        .get("datacontenttype")
        .is_none_or(|named| ce::is_json(named));
    let binary = members
        .get("data_base64")
        .filter(|value| value.get() != "null");
    let data = match (members.get("data"), binary) {
        (Some(_), Some(_)) => return Err(StructuredError::TwoData),
        (Some(value), None) if is_json => payload.slice_ref(value.get().as_bytes()),
        (Some(value), None) => text(value).ok_or(StructuredError::NoText)?.into(),
        (None, Some(value)) => {
            let text = text(value).ok_or(StructuredError::NoText)?;
            let bytes = BASE64_STANDARD.decode(text);
            bytes.map_err(StructuredError::Base64)?.into()
        }
        (None, None) => return Err(StructuredError::Missing { name: "data" }),
    };
    Ok(Structured { attributes, data })
}

/// An attribute as a header would have it. `None`: it is unset.
fn attribute(name: &str, value: &RawValue) -> Result<Option<String>, StructuredError> {
    let raw = value.get();
    let is_integer = || {
        raw.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
    };
    match raw {
        "null" => Ok(None),
        "true" | "false" => Ok(Some(raw.to_owned())),
        _ if is_integer() => Ok(Some(raw.to_owned())),
        _ => match text(value) {
            Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            None => Err(StructuredError::Attribute {
                name: name.to_owned(),
            }),
        },
    }
}

/// The text of a JSON string. `None`: the value is no string.
fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// Why a message is no event in structured mode, though it says that it is one.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StructuredError {
    #[error("`{named}` is no format that is read here; `application/cloudevents+json` is")]
    Format { named: String },
    #[error("it is no JSON object")]
    Json(#[source] Arc<serde_json::Error>),
    #[error("`specversion` is `{named}`, not `1.0`")]
    SpecVersion { named: String },
    #[error("`{name}` is missing")]
    Missing { name: &'static str },
    #[error("`{name}` is no text, integer or truth value")]
    Attribute { name: String },
    #[error("it has both `data` and `data_base64`")]
    TwoData,
    #[error("its data is to be text, and is none")]
    NoText,
    #[error("`data_base64` is no base 64")]
    Base64(#[source] base64::DecodeError),
}

impl StructuredError {
    fn json(source: serde_json::Error) -> Self {
        Self::Json(Arc::new(source))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Chain;

    const JSON: &str = r#"[["Content-Type","application/cloudevents+json"]]"#;

    fn opened(headers: &str, payload: &str) -> Result<Option<Structured>, StructuredError> {
        let headers = serde_json::from_str(headers).unwrap();
        open(&headers, &Bytes::copy_from_slice(payload.as_bytes()))
    }

    /// The smallest envelope, and more members.
    fn envelope(more: Value) -> String {
        let mut envelope = json!({
            "specversion": "1.0", "type": "note:written", "source": "/elsewhere", "id": "a b",
        });
        let (members, Value::Object(more)) = (envelope.as_object_mut().unwrap(), more) else {
            panic!("members are an object");
        };
        members.extend(more);
        envelope.to_string()
    }

    #[track_caller]
    fn data(envelope: &str) -> String {
        let data = opened(JSON, envelope).unwrap().unwrap().data;
        String::from_utf8(data.to_vec()).unwrap()
    }

    #[track_caller]
    fn refused(headers: &str, envelope: &str, reason: &str) {
        let err = opened(headers, envelope).unwrap_err();
        let chain = Chain(&err).to_string();
        assert!(chain.contains(reason), "{chain}");
    }

    // The JSON format's text, version 1.0.2, sections 2 and 3.

    #[test]
    fn attributes_are_text_as_a_header_would_have_them() {
        let envelope = envelope(json!({
            "data": {}, "time": "2018-04-05T17:31:00Z", "subject": null, "tenant": "Käse 😀",
            "number": -5, "flag": true, "empty": "",
        }));
        let attributes = opened(JSON, &envelope).unwrap().unwrap().attributes;
        let attributes: Vec<_> = attributes
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            attributes,
            [
                ("flag", "true"),
                ("id", "a b"),
                ("number", "-5"),
                ("source", "/elsewhere"),
                ("specversion", "1.0"),
                ("tenant", "Käse 😀"),
                ("time", "2018-04-05T17:31:00Z"),
                ("type", "note:written"),
            ]
        );
    }

    #[test]
    fn data_is_what_it_is_said_to_be() {
        let number = r#"{"specversion":"1.0","type":"t","source":"s","id":"i","data":{"n": 1.00000000000000000001}}"#;
        assert_eq!(
            data(number),
            r#"{"n": 1.00000000000000000001}"#,
            "not a bit is changed"
        );
        assert_eq!(
            data(&envelope(json!({"data": "I'm just a string"}))),
            "\"I'm just a string\""
        );
        assert_eq!(data(&envelope(json!({"data": null}))), "null");
        let xml = json!({"datacontenttype": "application/xml", "data": "<much wow=\"xml\"/>"});
        assert_eq!(data(&envelope(xml)), "<much wow=\"xml\"/>");
        assert_eq!(
            data(&envelope(json!({"data_base64": "eyJhIjoxfQ=="}))),
            r#"{"a":1}"#
        );
        assert_eq!(
            data(&envelope(json!({"data": 1, "data_base64": null}))),
            "1"
        );
    }

    #[test]
    fn mode_is_what_the_content_type_says_in_any_case() {
        let envelope = envelope(json!({"data": 1}));
        for headers in [
            JSON,
            r#"[["content-type","Application/CloudEvents+JSON; charset=UTF-8"]]"#,
            r#"[["CONTENT-TYPE","application/cloudevents"]]"#,
            // As the binding was until 1.0.2.
            "[]",
            r#"[["ce-id","of a dead letter"]]"#,
        ] {
            assert!(opened(headers, &envelope).unwrap().is_some(), "{headers}");
        }
        for headers in [
            r#"[["Content-Type","application/json"]]"#,
            r#"[["ce-specversion","1.0"]]"#,
        ] {
            assert!(opened(headers, &envelope).unwrap().is_none(), "{headers}");
        }
        for bare in [
            "",
            "[]",
            r#"{"page":"p"}"#,
            r#"{"specversion":"1.0","id":"i","source":"s"}"#,
            r#"{"specversion":1,"id":"i","source":"s","type":"t"}"#,
        ] {
            assert!(opened("[]", bare).unwrap().is_none(), "{bare}");
        }
    }

    #[test]
    fn what_says_that_it_is_structured_and_is_not_is_refused_with_the_reason() {
        let batch = r#"[["Content-Type","application/cloudevents-batch+json"]]"#;
        refused(
            batch,
            "[]",
            "`application/cloudevents-batch+json` is no format",
        );
        let avro = r#"[["Content-Type","application/cloudevents+avro"]]"#;
        refused(avro, "", "`application/cloudevents+avro` is no format");
        for no_object in ["", "[]", "{", "1", "null"] {
            refused(JSON, no_object, "it is no JSON object");
        }
        for (more, reason) in [
            (
                json!({"specversion": "0.3", "data": 1}),
                "`specversion` is `0.3`",
            ),
            (
                json!({"specversion": null, "data": 1}),
                "`specversion` is ``",
            ),
            (json!({"id": null, "data": 1}), "`id` is missing"),
            (json!({"source": "", "data": 1}), "`source` is missing"),
            (json!({"type": null, "data": 1}), "`type` is missing"),
            (json!({}), "`data` is missing"),
            (
                json!({"data": 1, "data_base64": ""}),
                "both `data` and `data_base64`",
            ),
            (json!({"data_base64": "a"}), "`data_base64` is no base 64: "),
            (json!({"data_base64": 7}), "its data is to be text"),
            (
                json!({"datacontenttype": "text/plain", "data": {}}),
                "its data is to be text",
            ),
            (json!({"tenant": {}, "data": 1}), "`tenant` is no text"),
            (json!({"tenant": [], "data": 1}), "`tenant` is no text"),
            (json!({"tenant": 1.5, "data": 1}), "`tenant` is no text"),
        ] {
            refused(JSON, &envelope(more), reason);
        }
    }
}
