//! An event on its way out, as bytes and headers; one form for every publisher.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use crate::cloud_events as ce;
use crate::cloud_events::structured::{self, StructuredError};
use crate::error::BoxError;
use crate::event::{Event, FormError, decode_form, schema_version, version_of};
use crate::headers::Headers;
use crate::metadata::{Metadata, Position};
use crate::name::Key;
use crate::publisher::PublishError;
use crate::subject_set::Listed;
use crate::version::Version;

tokio::task_local! {
    /// The event that is being handled in this task, which everything published meanwhile comes of.
    static CAUSE: Arc<Metadata>;
}

/// Runs `future` as the handling of the event that `cause` tells of.
pub(crate) async fn caused_by<F: Future>(cause: Arc<Metadata>, future: F) -> F::Output {
    CAUSE.scope(cause, future).await
}

/// An event, encoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outgoing {
    pub(crate) channel: Cow<'static, str>,
    pub(crate) stream: Cow<'static, str>,
    pub(crate) key: Key,
    pub(crate) version: Option<Version>,
    pub(crate) id: Uuid,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}

/// The most that headers and payload of one event may take together, in bytes: the server's default
/// `max_payload`, less what a dead letter adds.
pub(crate) const MAX_SIZE: usize = 1024 * 1024 - 16 * 1024;

impl Outgoing {
    /// Encodes the event under a fresh id, caused by what this task handles.
    pub(crate) fn encode<E: Event>(event: &E, headers: &Headers) -> Result<Self, PublishError> {
        let payload = serde_json::to_vec(event).map_err(PublishError::Encode)?;
        let id = Uuid::now_v7();
        let key = event.key();
        let mut headers = headers.without_reserved();
        let id_text = id.hyphenated().to_string();
        headers.set(ce::SPEC_VERSION, "1.0");
        headers.set(ce::ID, id_text.as_str());
        headers.set(ce::TYPE, <E as Listed>::CHANNEL);
        headers.set(ce::SOURCE, format!("/{}", <E as Listed>::PRODUCER));
        headers.set(ce::SUBJECT, key.as_str());
        headers.set(ce::TIME, Timestamp::now().to_string());
        headers.set(
            ce::DATA_SCHEMA,
            ce::data_schema(<E as Listed>::CHANNEL, schema_version::<E>()),
        );
        // The binding's name for it, and the one that every other reader of headers knows.
        headers.set(ce::DATA_CONTENT_TYPE, "application/json");
        headers.set(ce::CONTENT_TYPE, "application/json");
        headers.set(ce::MSG_ID, id_text);
        // Outside a handler there is no cause: the event is a beginning.
        let _ = CAUSE.try_with(|cause| inherit(&mut headers, cause));
        let size = headers.wire_len() + payload.len();
        if size > MAX_SIZE {
            return Err(PublishError::TooLarge {
                subject: format!("{}.{key}", <E as Listed>::CHANNEL),
                size,
                limit: MAX_SIZE,
            });
        }
        Ok(Self {
            channel: <E as Listed>::CHANNEL.into(),
            stream: <E as Listed>::STREAM.as_str().into(),
            version: version_of(event),
            key,
            id,
            headers,
            payload: payload.into(),
        })
    }

    /// The NATS subject: `<channel>.<key>`.
    pub(crate) fn subject(&self) -> String {
        format!("{}.{}", self.channel, self.key)
    }
}

/// Carries correlation, causation and trace from an event to what comes of it (CloudEvents
/// correlation extension).
fn inherit(headers: &mut Headers, cause: &Metadata) {
    let id = ce::encode(cause.id());
    let correlation_id = cause.correlation_id();
    let beginning = correlation_id.as_deref().unwrap_or(cause.id());
    headers.set(ce::CORRELATION_ID, ce::encode(beginning));
    headers.set(ce::CAUSATION_ID, id);
    for (name, attribute) in [
        (ce::TRACE_PARENT, ce::CE_TRACE_PARENT),
        (ce::TRACE_STATE, ce::CE_TRACE_STATE),
    ] {
        let theirs = cause.headers().known(&name).map(Cow::Borrowed);
        if headers.known(&name).is_none()
            && let Some(value) = theirs.or_else(|| cause.said(&attribute))
        {
            headers.set(name, value);
        }
    }
}

/// An event on its way in.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) metadata: Arc<Metadata>,
    /// As it came, which is how it is kept.
    pub(crate) payload: Bytes,
    /// What is in the payload: in binary mode, all of it.
    pub(crate) data: Result<Bytes, StructuredError>,
}

impl Incoming {
    /// Reads a message, in binary mode or structured.
    pub(crate) fn read(
        channel: &'static str,
        key: Key,
        position: Position,
        attempt: u32,
        headers: Headers,
        payload: Bytes,
    ) -> Self {
        let (attributes, data) = match structured::open(&headers, &payload) {
            Ok(None) => (None, Ok(payload.clone())),
            Ok(Some(event)) => (Some(event.attributes), Ok(event.data)),
            Err(err) => (None, Err(err)),
        };
        let metadata = Metadata::read(channel, key, position, attempt, headers, attributes);
        Self {
            metadata: Arc::new(metadata),
            payload,
            data,
        }
    }

    /// Reads the data as the form that the event says it has.
    pub(crate) fn decode<E: Event>(&self) -> Result<E, DecodeError> {
        let metadata = &self.metadata;
        let channel = <E as Listed>::CHANNEL;
        let data = self.data.as_ref();
        let data = data.map_err(|err| DecodeError::Structured(err.clone()))?;
        if let Some((name, value)) = metadata.garbled() {
            let (name, value) = (name.to_owned(), value.to_owned());
            return Err(DecodeError::Garbled { name, value });
        }
        if let Some(named) = metadata.said(&ce::TYPE)
            && named != channel
        {
            let named = named.into_owned();
            return Err(DecodeError::OtherType { named, channel });
        }
        let Ok(form) = metadata.form() else {
            let named = metadata.said(&ce::DATA_SCHEMA).unwrap_or_default();
            let named = named.into_owned();
            return Err(DecodeError::OtherSchema { named, channel });
        };
        let known = schema_version::<E>();
        let version = form.unwrap_or(known);
        let payload = |source| match metadata.content_type() {
            Some(named) if !ce::is_json(&named) => DecodeError::ContentType {
                channel,
                named: named.into_owned(),
                source,
            },
            Some(_) | None => DecodeError::Payload {
                channel,
                version,
                source,
            },
        };
        let event: E = decode_form(version, data).map_err(|err| match err {
            FormError::NoForm { .. } => DecodeError::Newer {
                channel,
                version,
                known,
            },
            FormError::Payload(source) => payload(source),
            FormError::Upcast(source) => DecodeError::Upcast {
                channel,
                version,
                known,
                source,
            },
        })?;
        if event.key() != metadata.key {
            return Err(DecodeError::OtherKey {
                subject: metadata.key.clone(),
                payload: event.key(),
            });
        }
        Ok(event)
    }
}

/// Why a message is no event that this process can read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("payload is no CloudEvent in structured mode")]
    Structured(#[source] StructuredError),
    #[error("header {name} is `{value}`, which is no UTF-8 when it is decoded")]
    Garbled { name: String, value: String },
    #[error("payload is no `{channel}` of form {version}")]
    Payload {
        channel: &'static str,
        version: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("payload is said to be `{named}`, and `{channel}` is JSON")]
    ContentType {
        channel: &'static str,
        named: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("`{channel}` of form {version} could not be made one of form {known}")]
    Upcast {
        channel: &'static str,
        version: usize,
        known: usize,
        #[source]
        source: BoxError,
    },
    #[error("ce-type says `{named}` on channel `{channel}`")]
    OtherType {
        named: String,
        channel: &'static str,
    },
    #[error("ce-dataschema says `{named}`, which is no form of `{channel}`")]
    OtherSchema {
        named: String,
        channel: &'static str,
    },
    #[error("subject is about `{subject}`, payload about `{payload}`")]
    OtherKey { subject: Key, payload: Key },
    #[error("`{channel}` has form {version}, and this process knows up to {known}")]
    Newer {
        channel: &'static str,
        version: usize,
        known: usize,
    },
}

#[cfg(test)]
mod tests;
