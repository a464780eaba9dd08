//! What is read from messages that others publish, as CloudEvents libraries write them and as they should.

use serde_json::{Value, json};

use super::*;
use crate::error::Chain;
use crate::events::{ExpirationComplete, OrderId};

const CHANNEL: &str = "expiration:complete";

fn id() -> OrderId {
    "0198c0de-0000-7000-8000-00000000000a".parse().unwrap()
}

fn data() -> Value {
    json!({ "orderId": id() })
}

fn message(headers: &[(&str, &str)], payload: &str) -> Incoming {
    let headers = serde_json::to_string(headers).unwrap();
    let position = Position {
        stream: "EXPIRATIONS".to_owned(),
        sequence: 7,
        stored_at: Timestamp::UNIX_EPOCH,
    };
    Incoming::read(
        CHANNEL,
        id().to_key(),
        position,
        1,
        serde_json::from_str(&headers).unwrap(),
        Bytes::copy_from_slice(payload.as_bytes()),
    )
}

/// The event with these headers, which is read.
#[track_caller]
fn event(headers: &[(&str, &str)]) -> Incoming {
    let message = message(headers, &data().to_string());
    let event: ExpirationComplete = message.decode().unwrap();
    assert_eq!(event.order_id, id());
    message
}

#[track_caller]
fn refused(headers: &[(&str, &str)], payload: &str, reason: &str) {
    let decoded = message(headers, payload).decode::<ExpirationComplete>();
    let chain = Chain(&decoded.unwrap_err()).to_string();
    assert!(chain.contains(reason), "{chain}");
}

/// The binding's example, working draft 1.0.3, section 3.1.4.
#[test]
fn event_in_binary_mode_is_read() {
    let message = event(&[
        ("ce-specversion", "1.0"),
        ("ce-type", CHANNEL),
        ("ce-time", "2018-04-05T03:56:24Z"),
        ("ce-id", "1234-1234-1234"),
        ("ce-source", "/mycontext/subcontext"),
        ("ce-datacontenttype", "application/json"),
        ("ce-tenant", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
    ]);
    let metadata = &message.metadata;
    assert_eq!(metadata.id(), "1234-1234-1234");
    assert_eq!(metadata.source(), "/mycontext/subcontext");
    assert_eq!(metadata.occurred_at().to_string(), "2018-04-05T03:56:24Z");
    assert_eq!(metadata.attribute("tenant").as_deref(), Some("Euro € 😀"));
    assert_eq!(metadata.attribute("nobody"), None);
    assert_eq!(metadata.attribute("no header: name\r\n"), None);
}

/// As sdk-go does: `content-type` for `ce-datacontenttype`, and nothing encoded.
#[test]
fn event_of_a_library_that_encodes_nothing_is_read() {
    let message = event(&[
        ("ce-specversion", "1.0"),
        ("ce-type", CHANNEL),
        ("ce-id", "100% of it"),
        ("ce-source", "/käse \"x\""),
        ("content-type", "application/json"),
    ]);
    assert_eq!(message.metadata.id(), "100% of it");
    assert_eq!(message.metadata.source(), "/käse \"x\"");
}

#[test]
fn header_names_are_known_in_any_case() {
    let message = event(&[
        ("Ce-Specversion", "1.0"),
        ("CE-TYPE", CHANNEL),
        ("Ce-Id", "a"),
        ("CE-Source", "/b"),
        ("Ce-Dataschema", "urn:sgtickets:expiration.complete:1"),
        ("Ce-Tenant", "acme"),
    ]);
    let metadata = &message.metadata;
    assert_eq!((metadata.id(), metadata.source()), ("a", "/b"));
    assert_eq!(metadata.schema_version(), Some(1));
    assert_eq!(metadata.attribute("tenant").as_deref(), Some("acme"));
    let other = [("CE-TYPE", "order:created")];
    refused(&other, &data().to_string(), "ce-type says `order:created`");
}

#[test]
fn quoted_value_is_unquoted() {
    let message = event(&[("ce-id", r#""a \"b\"""#)]);
    assert_eq!(message.metadata.id(), r#"a "b""#);
    let message = event(&[("ce-id", r#""""#)]);
    assert_eq!(message.metadata.id(), "EXPIRATIONS:7:0", "nothing is no id");
}

#[test]
fn header_that_is_no_utf_8_once_decoded_is_refused_by_name() {
    let data = data().to_string();
    for name in ["ce-id", "CE-ID", "ce-anything"] {
        let reason = format!("header {name} is `a%C0%A0`, which is no UTF-8 when it is decoded");
        refused(&[(name, "a%C0%A0")], &data, &reason);
    }
    // Whose headers they are, the binding does not say.
    event(&[("tenant", "%C0%A0"), ("ce-id", "1")]);
}

#[test]
fn content_type_is_named_when_the_payload_is_no_json() {
    for header in ["ce-datacontenttype", "Content-Type", "content-type"] {
        let headers = [(header, "application/xml")];
        let reason = "payload is said to be `application/xml`, and `expiration:complete` is JSON";
        refused(&headers, "<order/>", reason);
        // What is said is not believed against what is there.
        event(&[(header, "text/plain; charset=us-ascii")]);
    }
    let headers = [("ce-datacontenttype", "application/json; charset=utf-8")];
    refused(
        &headers,
        "<order/>",
        "payload is no `expiration:complete` of form 1: expected value",
    );
}

fn envelope(more: Value) -> String {
    let mut envelope = json!({
        "specversion": "1.0", "type": CHANNEL, "source": "/käse", "id": "a b",
        "time": "2018-04-05T03:56:24Z", "correlationid": "c", "tenant": "acme", "data": data(),
    });
    let (members, Value::Object(more)) = (envelope.as_object_mut().unwrap(), more) else {
        panic!("members are an object");
    };
    members.extend(more);
    envelope.to_string()
}

const STRUCTURED: &[(&str, &str)] = &[
    (
        "Content-Type",
        "application/cloudevents+json; charset=UTF-8",
    ),
    // An attribute is a member, and its header is nothing.
    ("ce-id", "of nobody"),
    ("ce-type", "of nobody"),
];

#[test]
fn event_in_structured_mode_is_read_and_kept_as_it_came() {
    let payload = envelope(json!({}));
    // The second as a library that writes no headers.
    for headers in [STRUCTURED, &[]] {
        let message = message(headers, &payload);

        let event: ExpirationComplete = message.decode().unwrap();

        assert_eq!(event.order_id, id());
        let metadata = &message.metadata;
        assert_eq!((metadata.id(), metadata.source()), ("a b", "/käse"));
        assert_eq!(metadata.occurred_at().to_string(), "2018-04-05T03:56:24Z");
        assert_eq!(metadata.correlation_id().as_deref(), Some("c"));
        assert_eq!(metadata.attribute("tenant").as_deref(), Some("acme"));
        assert_eq!(message.payload, payload, "what is kept is what came");
        assert_eq!(metadata.headers().iter().count(), headers.len());
    }
}

#[tokio::test]
async fn what_an_event_in_structured_mode_causes_inherits_from_its_envelope() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let cause = message(STRUCTURED, &envelope(json!({ "traceparent": trace })));
    let event = ExpirationComplete { order_id: id() };

    let caused = caused_by(cause.metadata, async {
        Outgoing::encode(&event, &Headers::new()).unwrap()
    });

    let headers = caused.await.headers;
    assert_eq!(headers.get("ce-causationid"), Some("a%20b"));
    assert_eq!(headers.get("ce-correlationid"), Some("c"));
    assert_eq!(headers.get("traceparent"), Some(trace));
}

#[test]
fn bad_event_in_structured_mode_is_refused_with_the_reason() {
    let structured = |more, reason: &str| refused(STRUCTURED, &envelope(more), reason);
    let prefix = "payload is no CloudEvent in structured mode: ";
    refused(
        STRUCTURED,
        "{",
        &format!("{prefix}it is no JSON object: EOF"),
    );
    structured(json!({"id": null}), &format!("{prefix}`id` is missing"));
    structured(
        json!({"type": "order:created"}),
        "ce-type says `order:created`",
    );
    let schema = "urn:sgtickets:expiration.complete:2";
    structured(
        json!({"dataschema": schema}),
        "has form 2, and this process knows up to 1",
    );
    structured(
        json!({"data": {"orderId": 1}}),
        "payload is no `expiration:complete` of form 1: ",
    );
    let other = OrderId::new();
    structured(json!({"data": {"orderId": other}}), "subject is about");
    let xml = json!({"datacontenttype": "application/xml", "data": "<order/>"});
    structured(xml, "payload is said to be `application/xml`");
}

#[test]
fn bad_event_in_structured_mode_has_the_identity_of_its_place() {
    let message = message(&STRUCTURED[..1], "{");
    assert_eq!(message.metadata.id(), "EXPIRATIONS:7:0");
}
