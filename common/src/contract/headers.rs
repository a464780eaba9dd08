//! What travels beside an event's payload, as a JSON Schema.

use async_nats::HeaderName;
use serde_json::{Map, Value, json};

use super::{Contract, Form};
use crate::cloud_events as ce;
use crate::subject_set::SubjectSet;

impl<S: SubjectSet> Contract<S> {
    /// The headers that our publishers write beside the payload of one form, as a JSON Schema: the
    /// attributes of CloudEvents 1.0 in binary mode, and the server's key of duplicates.
    ///
    /// Readers ask for none of them: bare JSON is an event too.
    #[must_use]
    pub fn headers(&self, form: &Form) -> Value {
        let channel = self.subject.as_str();
        let always = [
            (
                ce::SPEC_VERSION,
                exactly("1.0", "The version of CloudEvents."),
            ),
            (
                ce::ID,
                text(
                    "The event's id, unique within its source: a UUID v7.",
                    "01998f3c-6e01-7d42-a6ce-0b1f4c9d7e10",
                ),
            ),
            (ce::TYPE, exactly(channel, "The channel.")),
            (
                ce::SOURCE,
                exactly(&format!("/{}", self.producer), "Who publishes."),
            ),
            (
                ce::SUBJECT,
                text(
                    "What the event is about: the key, as in the NATS subject.",
                    "01998f3c-6e00-7a3b-8c55-0d4b6f1e2a01",
                ),
            ),
            (
                ce::TIME,
                json!({
                    "type": "string",
                    "format": "date-time",
                    "description": "When it happened, RFC 3339 in UTC.",
                    "examples": ["2025-09-28T07:33:06Z"],
                }),
            ),
            (
                ce::DATA_SCHEMA,
                exactly(&form.id, "The form of the payload."),
            ),
            (
                ce::DATA_CONTENT_TYPE,
                exactly("application/json", "How the payload is written."),
            ),
            (
                ce::CONTENT_TYPE,
                exactly(
                    "application/json",
                    "The same, where readers look that know nothing of CloudEvents.",
                ),
            ),
            (
                ce::MSG_ID,
                text(
                    "The event's id: the server stores no two messages with one, within the stream's duplicate window.",
                    "01998f3c-6e01-7d42-a6ce-0b1f4c9d7e10",
                ),
            ),
        ];
        let sometimes = [
            (
                ce::CORRELATION_ID,
                text(
                    "What all events share that come of one beginning: the first one's id. Absent: this is a beginning.",
                    "01998f3c-6e01-7d42-a6ce-0b1f4c9d7e10",
                ),
            ),
            (
                ce::CAUSATION_ID,
                text(
                    "The id of the event whose handling published this one. Absent: it was no event.",
                    "01998f3c-6e01-7d42-a6ce-0b1f4c9d7e10",
                ),
            ),
            (
                ce::TRACE_PARENT,
                text(
                    "The trace that the event belongs to, as W3C Trace Context says.",
                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                ),
            ),
            (
                ce::TRACE_STATE,
                text("What tracing systems add to the trace.", "vendor=value"),
            ),
        ];
        let required: Vec<_> = always.iter().map(|(name, _)| name.to_string()).collect();
        let properties = always.into_iter().chain(sometimes);
        let properties: Map<_, _> = properties
            .map(|(name, schema): (HeaderName, Value)| (name.to_string(), schema))
            .collect();
        json!({
            "type": "object",
            "description": format!("What publishers write beside the payload of `{channel}`, percent-encoded where the NATS binding of CloudEvents says so. Readers ask for none of it: bare JSON is an event too."),
            "properties": properties,
            "required": required,
        })
    }
}

fn exactly(value: &str, description: &str) -> Value {
    json!({ "type": "string", "const": value, "description": description })
}

fn text(description: &str, example: &str) -> Value {
    json!({ "type": "string", "description": description, "examples": [example] })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::events::TicketCreated;
    use crate::headers::Headers;
    use crate::message::{Outgoing, caused_by};
    use crate::metadata::{Metadata, Position};
    use crate::{Event as _, Key, Subjects};

    fn ticket() -> TicketCreated {
        let ticket = json!({
            "id": "01998f3c-6e00-7a3b-8c55-0d4b6f1e2a01",
            "version": 1,
            "title": "Concert",
            "price": 2500,
            "userId": "alice",
        });
        serde_json::from_value(ticket).unwrap()
    }

    fn names<'n>(names: impl Iterator<Item = &'n str>) -> BTreeSet<&'n str> {
        names.collect()
    }

    #[tokio::test]
    async fn publisher_writes_what_the_schema_says_and_nothing_else() {
        let contract = Contract::of(Subjects::TicketCreated);
        let schema = contract.headers(&contract.forms[0]);
        let all = schema["properties"].as_object().unwrap();
        let required = schema["required"].as_array().unwrap();

        let first = Outgoing::encode(&ticket(), &Headers::new()).unwrap();
        let written = names(first.headers.iter().map(|(name, _)| name));
        assert_eq!(written, names(required.iter().filter_map(Value::as_str)));
        for (name, value) in first.headers.iter() {
            match &all[name]["const"] {
                Value::Null => assert!(all[name]["examples"][0].is_string(), "{name}"),
                exactly => assert_eq!(value, exactly, "{name}"),
            }
        }

        let traced = Headers::new().with("traceparent", "00-1-2-03").unwrap();
        let traced = traced.with("tracestate", "a=b").unwrap();
        let position = Position {
            stream: "TICKETS".to_owned(),
            sequence: 1,
            stored_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let key = Key::new("k").unwrap();
        let cause = Metadata::read(
            TicketCreated::SUBJECT.as_str(),
            key,
            position,
            1,
            traced,
            None,
        );
        let second = caused_by(Arc::new(cause), async {
            Outgoing::encode(&ticket(), &Headers::new()).unwrap()
        });
        let second = second.await;
        let written = names(second.headers.iter().map(|(name, _)| name));
        assert_eq!(written, names(all.keys().map(String::as_str)));
    }
}
