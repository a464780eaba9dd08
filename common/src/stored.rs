//! A message as it lies in its stream, read through the API: nothing in it can harm the reader's connection.

use std::str::{self, FromStr as _};

use async_nats::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::{ApiError, Client};
use crate::headers::Headers;

/// There is no message of this number: it was removed, or never was.
pub(crate) const NO_MESSAGE: u64 = 10037;

/// A stored message, as the API shows it: headers and payload in base 64.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RawMessage {
    pub(crate) subject: String,
    #[serde(rename = "seq")]
    pub(crate) sequence: u64,
    pub(crate) time: Timestamp,
    #[serde(default)]
    pub(crate) hdrs: String,
    #[serde(default)]
    pub(crate) data: String,
}

impl RawMessage {
    /// A message of a stream. `None`: it is not there any more.
    pub(crate) async fn read(
        client: &Client,
        stream: &str,
        sequence: u64,
    ) -> Result<Option<Self>, ApiError> {
        Self::get(client, stream, &json!({ "seq": sequence })).await
    }

    /// The first message from `sequence` on whose subject is of this form.
    pub(crate) async fn next(
        client: &Client,
        stream: &str,
        sequence: u64,
        subject: &str,
    ) -> Result<Option<Self>, ApiError> {
        let next = json!({ "seq": sequence, "next_by_subj": subject });
        Self::get(client, stream, &next).await
    }

    async fn get(
        client: &Client,
        stream: &str,
        which: &impl Serialize,
    ) -> Result<Option<Self>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            message: RawMessage,
        }
        let subject = format!("STREAM.MSG.GET.{stream}");
        match client.api::<Answer>(&subject, which).await {
            Ok(answer) => Ok(Some(answer.message)),
            Err(err) if err.code() == Some(NO_MESSAGE) => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Its headers. `None`: the client cannot read them, and whoever received them would lose the connection.
    pub(crate) fn headers(&self) -> Option<Headers> {
        read_headers(&self.hdrs)
    }

    /// Its payload.
    pub(crate) fn payload(&self) -> Bytes {
        decode_base64(&self.data).unwrap_or_default().into()
    }
}

/// Reads a block of headers, which is in base 64, as the client does: line by line, whatever ends a line, lines
/// that begin with a space joined to the one before, and trimmed. `None`: the client cannot.
fn read_headers(base64: &str) -> Option<Headers> {
    let block = decode_base64(base64)?;
    let mut map = HeaderMap::new();
    if block.is_empty() {
        return Some(Headers::from_nats(map));
    }
    let block = str::from_utf8(&block).ok()?;
    let mut lines = block.lines().peekable();
    // What follows the version is a status, and words about it.
    let status = lines.next()?.strip_prefix("NATS/1.0")?.trim();
    let number = status.split_once(' ').map_or(status, |(number, _)| number);
    if !number.is_empty() && number.parse::<StatusCode>().is_err() {
        return None;
    }
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let (name, value) = line.split_once(':')?;
        let mut value = value.to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        let name = HeaderName::from_str(name).ok()?;
        map.append(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some(Headers::from_nats(map))
}

/// Standard base 64 with padding (RFC 4648, section 4).
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base64: &str, readable: bool) {
        assert_eq!(
            read_headers(base64).is_some(),
            readable,
            "{:?}",
            decode_base64(base64)
        );
    }

    #[test]
    fn headers_that_kill_are_told_from_those_that_do_not() {
        check("", true);
        // NATS/1.0\r\na: b\r\n\r\n
        check("TkFUUy8xLjANCmE6IGINCg0K", true);
        // NATS/1.0\r\na: b\nc: d\r\n\r\n
        check("TkFUUy8xLjANCmE6IGIKYzogZA0KDQo=", true);
        // NATS/1.0\r\na: b\r\n c\r\n\r\n
        check("TkFUUy8xLjANCmE6IGINCiBjDQoNCg==", true);
        // NATS/1.0 503\r\n\r\n
        check("TkFUUy8xLjAgNTAzDQoNCg==", true);
        // NATS/1.0 x\r\n\r\n
        check("TkFUUy8xLjAgeA0KDQo=", false);
        // NATS/1.0\r\na: b\rc\r\n\r\n
        check("TkFUUy8xLjANCmE6IGINYw0KDQo=", false);
        // NATS/1.0\r\na: \xff\r\n\r\n
        check("TkFUUy8xLjANCmE6IP8NCg0K", false);
        // NATS/1.0\r\na b: c\r\n\r\n
        check("TkFUUy8xLjANCmEgYjogYw0KDQo=", false);
    }
}
