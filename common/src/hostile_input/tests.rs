use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::events::{Cents, OrderId, TicketId, TicketUpdated, UserId};
use crate::message::Outgoing;
use crate::version::Version;

/// Feeds a target with every file of its corpus: what the fuzzers found interesting, and what once went wrong.
#[track_caller]
fn replay(target: &str, feed: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut files = 0;
    for file in fs::read_dir(&folder).unwrap() {
        feed(&fs::read(file.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 5, "{} is nearly empty", folder.display());
}

#[test]
fn corpus_of_messages_is_read() {
    replay("message", message);
}

#[test]
fn corpus_of_envelopes_is_read() {
    replay("envelope", envelope);
}

#[test]
fn corpus_of_names_is_read() {
    replay("name", name);
}

#[test]
fn filter_is_matched_as_the_server_documents_it() {
    for (filter, subject, expected) in [
        ("a.b", "a.b", true),
        ("a.*", "a.b", true),
        ("a.*", "a.b.c", false),
        ("a.>", "a.b.c", true),
        ("a.>", "a", false),
        (">", "a", true),
        ("a:*", "a:b", false),
    ] {
        assert_eq!(matches(filter, subject), expected, "{filter} {subject}");
    }
}

/// Names that this crate reads, and any other that the client can build.
fn header_name() -> impl Strategy<Value = String> {
    let known = [
        "ce-specversion",
        "ce-id",
        "ce-type",
        "ce-source",
        "ce-subject",
        "ce-time",
        "ce-dataschema",
        "ce-correlationid",
        "ce-causationid",
        "Content-Type",
        "traceparent",
        "tracestate",
        "Nats-Msg-Id",
    ];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

/// Names of attributes, and any other.
fn attribute_name() -> impl Strategy<Value = String> {
    let known = [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "dataschema",
        "datacontenttype",
        "correlationid",
        "traceparent",
        "data",
        "data_base64",
        "tenant",
    ];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

/// Values that look like what belongs there, and any other.
fn header_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,40}",
        "(%[0-9A-Fa-f]{0,2}){0,8}",
        "urn:sgtickets:[a-z.]{0,10}:[0-9]{0,25}",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{0,20}Z?",
    ]
}

prop_compose! {
    /// Headers as the client hands them over.
    fn headers()(pairs in vec((header_name(), header_value()), 0..12)) -> Headers {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            if let (Ok(name), Ok(value)) = (HeaderName::from_str(&name), HeaderValue::from_str(&value)) {
                map.append(name, value);
            }
        }
        Headers::from_nats(map)
    }
}

/// JSON with the names and the kinds of values that events have, in the wrong places too.
fn json() -> impl Strategy<Value = Value> {
    let names = [
        "id",
        "version",
        "title",
        "price",
        "userId",
        "orderId",
        "status",
        "expiresAt",
        "ticket",
        "amount",
        "chargeId",
        "refundId",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!(ID)),
        Just(json!("2026-01-01T00:00:00Z")),
        Just(json!("awaiting:payment")),
        Just(json!(2500)),
    ];
    leaf.prop_recursive(4, 64, 12, move |inner| {
        let field = (proptest::sample::select(names.to_vec()), inner.clone());
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::from),
            vec(field, 0..12).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

const ID: &str = "0198c0de-0000-7000-8000-00000000000a";

/// An object that is every event at once: readers ignore the fields that they do not know.
fn every_event() -> Value {
    json!({
        "id": ID, "version": 1, "title": "a", "price": 2500, "userId": "a", "orderId": ID,
        "status": "created", "expiresAt": "2026-01-01T00:00:00Z",
        "ticket": {"id": ID, "price": 2500}, "amount": 2500, "chargeId": "a", "refundId": "a",
    })
}

prop_compose! {
    /// An event with one wrong field.
    fn almost_an_event()(place: proptest::sample::Index, value in json()) -> Value {
        let mut event = every_event();
        let fields = event.as_object_mut().unwrap();
        let at = place.index(fields.len());
        *fields.values_mut().nth(at).unwrap() = value;
        event
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        almost_an_event().prop_map(|json| json.to_string().into_bytes()),
        vec(any::<u8>(), 0..200),
        json().prop_map(|json| json.to_string().into_bytes()),
        (json(), 0..100_usize).prop_map(|(json, length)| {
            let mut truncated = json.to_string().into_bytes();
            truncated.truncate(length);
            truncated
        }),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![Just(ID.to_owned()), "[A-Za-z0-9_-]{1,64}"].prop_map(|text| Key::new(text).unwrap())
}

fn incoming_of(
    channel: &'static str,
    key: Key,
    headers: Headers,
    payload: impl Into<Bytes>,
) -> Incoming {
    let position = Position {
        stream: "TICKETS".to_owned(),
        sequence: 1,
        stored_at: Timestamp::UNIX_EPOCH,
    };
    Incoming::read(channel, key, position, 1, headers, payload.into())
}

/// Reads the same message as every event there is.
struct ReadAs<'m> {
    key: &'m Key,
    headers: &'m Headers,
    payload: &'m [u8],
    read: usize,
}

impl EventVisitor for ReadAs<'_> {
    fn visit<E: Event>(&mut self) {
        let Self {
            key,
            headers,
            payload,
            ..
        } = self;
        let channel = <E as Listed>::CHANNEL;
        let incoming = incoming_of(channel, key.clone(), headers.clone(), payload.to_vec());
        let metadata = &incoming.metadata;
        assert!(!metadata.id().is_empty(), "every event has an id");
        assert!(!metadata.source().is_empty(), "every event has a source");
        let _ = (
            metadata.occurred_at(),
            metadata.correlation_id(),
            metadata.causation_id(),
        );
        if let Ok(event) = incoming.decode::<E>() {
            self.read += 1;
            assert_eq!(
                event.key(),
                metadata.key,
                "an event is what its subject says"
            );
        }
    }
}

prop_compose! {
    fn ticket_updated()(
        title in "\\PC{0,100}[^\\s\\pC]\\PC{0,99}",
        number in 1..=9_007_199_254_740_991_u64,
        user in "[!-~]{1,128}",
        held: bool,
    ) -> TicketUpdated {
        TicketUpdated {
            id: TicketId::new(),
            version: Version::try_from(number).unwrap(),
            title: title.parse().unwrap(),
            price: Cents::try_from(number).unwrap(),
            user_id: UserId::from_str(&user).unwrap(),
            order_id: held.then(OrderId::new),
        }
    }
}

#[test]
fn object_that_is_every_event_is_read_as_each() {
    let payload = every_event().to_string();
    let mut reader = ReadAs {
        key: &Key::new(ID).unwrap(),
        headers: &Headers::new(),
        payload: payload.as_bytes(),
        read: 0,
    };
    for subject in Subjects::ALL {
        subject.visit(&mut reader);
    }
    assert_eq!(reader.read, Subjects::ALL.len());
}

proptest! {
    #[test]
    fn no_message_makes_the_reader_panic(key in key(), headers in headers(), payload in payload()) {
        for subject in Subjects::ALL {
            subject.visit(&mut ReadAs { key: &key, headers: &headers, payload: &payload, read: 0 });
        }
    }

    #[test]
    fn event_that_goes_out_comes_back(ticket in ticket_updated(), own in headers()) {
        let outgoing = Outgoing::encode(&ticket, &own).unwrap();
        let id = outgoing.id.to_string();
        let incoming = incoming_of("ticket:updated", outgoing.key, outgoing.headers, outgoing.payload);

        prop_assert_eq!(incoming.decode::<TicketUpdated>().unwrap(), ticket);
        prop_assert_eq!(incoming.metadata.id(), id);
        prop_assert_eq!(incoming.metadata.source(), "/tickets-service");
        prop_assert_eq!(incoming.metadata.schema_version(), Some(1));
    }

    #[test]
    fn id_and_source_survive_the_wire(id in "\\PC{1,40}", source in any::<String>()) {
        let mut headers = Headers::new();
        headers.set(ce::ID, ce::encode(&id));
        headers.set(ce::SOURCE, ce::encode(&source));

        let incoming = incoming_of("ticket:created", Key::new("k").unwrap(), headers, "");

        prop_assert_eq!(incoming.metadata.id(), id);
        if !source.is_empty() {
            prop_assert_eq!(incoming.metadata.source(), source);
        }
    }

    #[test]
    fn encoded_value_is_printable_ascii_and_comes_back(value: String) {
        let encoded = ce::encode(&value);
        prop_assert!(encoded.bytes().all(|byte| matches!(byte, b'!'..=b'~')), "{encoded}");
        prop_assert_eq!(ce::decode(&encoded), &*value);
    }

    #[test]
    fn any_value_can_be_decoded(value in header_value()) {
        let decoded = ce::decode(&value);
        if !value.contains('%') && !value.starts_with('"') {
            prop_assert_eq!(decoded, &*value);
        }
    }

    #[test]
    fn header_is_taken_only_if_it_cannot_break_the_wire(name in header_name(), value in header_value()) {
        if let Ok(headers) = Headers::new().with(&name, &value) {
            prop_assert_eq!(headers.get(&name), Some(&*value));
            prop_assert!(!name.to_ascii_lowercase().starts_with("nats-"));
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            prop_assert!(!value.chars().any(char::is_control));
        }
    }

    #[test]
    fn headers_survive_storage(headers in headers()) {
        let json = serde_json::to_string(&headers).unwrap();
        prop_assert_eq!(serde_json::from_str::<Headers>(&json).unwrap(), headers);
    }

    #[test]
    fn key_that_is_read_is_one_token(text in prop_oneof![any::<String>(), "[A-Za-z0-9_.*> -]{0,66}"]) {
        let json = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(serde_json::from_str::<Key>(&json).is_ok(), is_key(&text));
    }

    #[test]
    fn name_is_taken_for_what_it_is(text in prop_oneof![
        any::<String>(),
        "[A-Za-z0-9_:-]{0,66}",
        "([a-z:*>]{0,3}\\.){0,4}[a-z*>]{0,3}",
        "redrive(\\.[a-z:]{0,3}){0,4}",
        "\\$JS\\.ACK(\\.[A-Za-z0-9_]{0,20}){5,10}",
        "urn:sgtickets:(ticket\\.created|[a-z.]{0,5}):[0-9+-]{0,25}",
        "\"?[ -~]{0,9}[\"%]?",
    ]) {
        name(text.as_bytes());
    }

    #[test]
    fn any_bytes_are_no_more_than_bytes(bytes in vec(any::<u8>(), 0..200)) {
        message(&bytes);
        envelope(&bytes);
        name(&bytes);
    }

    #[test]
    fn message_of_any_subject_headers_and_payload_is_read(
        subject in prop_oneof![Just(format!("ticket:created.{ID}")), any::<String>()],
        headers in vec((header_name(), header_value()), 0..12),
        payload in payload(),
    ) {
        let mut lines = vec![subject];
        lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
        let head = lines.join("\n") + "\n\n";
        message(&[head.as_bytes(), &payload].concat());
    }

    #[test]
    fn envelope_with_any_members_is_opened_or_refused(
        members in vec((attribute_name(), json()), 0..8),
        encoded: bool,
    ) {
        let mut envelope = json!({ "specversion": "1.0", "id": "i", "source": "/s", "type": "ticket:created" });
        let object = envelope.as_object_mut().unwrap();
        if encoded {
            object.insert("data_base64".to_owned(), json!("e30="));
        } else {
            object.insert("data".to_owned(), every_event());
        }
        object.extend(members);
        super::envelope(envelope.to_string().as_bytes());
    }
}
