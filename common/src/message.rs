//! An event on its way out, as bytes and headers; one form for every publisher.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use crate::cloud_events as ce;
use crate::event::{Event, schema_version, version_of};
use crate::headers::Headers;
use crate::metadata::Metadata;
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
    for name in [ce::TRACE_PARENT, ce::TRACE_STATE] {
        if headers.known(&name).is_none()
            && let Some(value) = cause.headers().known(&name)
        {
            headers.set(name, value);
        }
    }
}

/// An event on its way in.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) payload: Bytes,
}

impl Incoming {
    /// Reads the payload as the form its headers name.
    pub(crate) fn decode<E: Event>(&self) -> Result<E, DecodeError> {
        let metadata = &self.metadata;
        if let Some(named) = metadata.headers.known(&ce::TYPE)
            && ce::decode(named) != <E as Listed>::CHANNEL
        {
            return Err(DecodeError::OtherType {
                named: named.to_owned(),
                channel: <E as Listed>::CHANNEL,
            });
        }
        let known = schema_version::<E>();
        let past = match metadata.schema_version {
            Some(version) if version > known => {
                return Err(DecodeError::Newer {
                    channel: <E as Listed>::CHANNEL,
                    version,
                    known,
                });
            }
            Some(version) => E::PAST.get(version - 1),
            None => None,
        };
        let decoded = match past {
            Some(past) => past.decode(&self.payload),
            None => serde_json::from_slice(&self.payload).map_err(Into::into),
        };
        let event: E = decoded.map_err(|source| DecodeError::Payload {
            channel: <E as Listed>::CHANNEL,
            source,
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
    #[error("payload is no `{channel}`")]
    Payload {
        channel: &'static str,
        #[source]
        source: crate::error::BoxError,
    },
    #[error("header ce-type says `{named}` on channel `{channel}`")]
    OtherType {
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
