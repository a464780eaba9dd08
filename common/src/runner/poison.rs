//! Messages whose headers kill the client's connection: a lone carriage return makes its task
//! panic, a header that is no UTF-8 or has a space in its name makes it reconnect at each delivery.
//!
//! They are found by reading, through the API, what was delivered and is not settled; and stored as
//! dead letters with their headers in the body, so that they cannot kill the next reader.

use std::str;

use async_nats::{HeaderName, HeaderValue, Subject};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::received::read_subject;
use super::worker::Worker;
use crate::client::ApiError;
use crate::dead_letter::{DeadLetter, Kind};
use crate::error::Chain;
use crate::headers::Headers;
use crate::metadata::Position;
use crate::topology::ConsumerInfo;

/// There is no message of this number: it was removed, or never was.
const NO_MESSAGE: u64 = 10037;

/// A stored message, as the API shows it: headers and payload in base 64.
#[derive(Deserialize)]
struct Raw {
    message: RawMessage,
}

#[derive(Deserialize)]
struct RawMessage {
    subject: String,
    time: jiff::Timestamp,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

/// Takes every killer out of what the consumer has delivered and nobody has settled.
pub(super) async fn remove(worker: &Worker, info: &ConsumerInfo) -> Result<(), String> {
    if info.num_ack_pending == 0 {
        return Ok(());
    }
    let (floor, delivered) = (info.ack_floor.stream_seq, info.delivered.stream_seq);
    tracing::info!(stream = %worker.stream, floor, delivered, "looking for what kills the connection");
    for sequence in floor + 1..=delivered {
        let subject = format!("STREAM.MSG.GET.{}", worker.stream);
        let raw: Raw = match worker
            .client
            .api(&subject, &json!({ "seq": sequence }))
            .await
        {
            Ok(raw) => raw,
            Err(ApiError::Server(err)) if err.err_code == NO_MESSAGE => continue,
            Err(err) => return Err(Chain(&err).to_string()),
        };
        if let Some((channel, key)) = read_subject(&raw.message.subject)
            && info
                .filters()
                .iter()
                .any(|filter| takes(filter, &raw.message.subject))
            && !is_readable(&raw.message.hdrs)
            && !bury(worker, sequence, &raw.message, channel, key).await
        {
            return Err(format!(
                "message {sequence} kills the connection and could not be stored as a dead letter"
            ));
        }
    }
    Ok(())
}

async fn bury(
    worker: &Worker,
    sequence: u64,
    message: &RawMessage,
    channel: &str,
    key: &str,
) -> bool {
    let position = Position {
        stream: worker.stream.as_str().to_owned(),
        sequence,
        stored_at: message.time,
    };
    let body = json!({ "headers": message.hdrs, "payload": message.data });
    let letter = DeadLetter {
        group: worker.group.as_str(),
        channel,
        key,
        position: &position,
        headers: &Headers::new(),
        payload: &Bytes::from(body.to_string()),
        kind: Kind::Poison,
        reason: "headers that kill the client's connection".to_owned(),
        attempts: 0,
    };
    if !worker.store(&letter).await {
        return false;
    }
    // The delivery never arrived, and with it the subject to settle it on. The server goes by the
    // stream's sequence alone.
    let reply = format!(
        "$JS.ACK.{}.{}.1.{sequence}.1.{}.0",
        worker.stream,
        worker.group,
        message.time.as_nanosecond(),
    );
    worker
        .confirm(
            &Subject::from(reply),
            format!("+TERM {}", Kind::Poison.as_str()),
        )
        .await;
    true
}

/// Whether a filter of the form `a.b.*` takes the subject.
fn takes(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    filter.split('.').all(|wanted| {
        tokens
            .next()
            .is_some_and(|token| wanted == "*" || wanted == token)
    }) && tokens.next().is_none()
}

/// Whether the client can read a block of headers, which is in base 64.
fn is_readable(base64: &str) -> bool {
    let Some(block) = decode_base64(base64) else {
        return false;
    };
    if block.is_empty() {
        return true;
    }
    let Ok(block) = str::from_utf8(&block) else {
        return false;
    };
    let mut lines = block.trim_end_matches("\r\n").split("\r\n");
    let first = lines.next();
    first.is_some_and(|line| line.starts_with("NATS/1.0"))
        && lines.all(|line| {
            line.split_once(':').is_some_and(|(name, value)| {
                name.parse::<HeaderName>().is_ok() && value.parse::<HeaderValue>().is_ok()
            })
        })
}

/// Standard base 64 with padding (RFC 4648, section 4).
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        let mut letters = 0;
        for &letter in chunk {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => break,
                _ => return None,
            };
            bits |= u32::from(value) << (18 - 6 * letters);
            letters += 1;
        }
        let [_, first, second, third] = bits.to_be_bytes();
        match letters {
            4 => bytes.extend([first, second, third]),
            3 => bytes.extend([first, second]),
            2 => bytes.push(first),
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
        ] {
            assert_eq!(decode_base64(text).unwrap(), bytes.as_bytes(), "{text}");
        }
        assert_eq!(decode_base64("!!!!"), None);
    }

    #[track_caller]
    fn check(base64: &str, readable: bool) {
        assert_eq!(is_readable(base64), readable, "{:?}", decode_base64(base64));
    }

    #[test]
    fn headers_that_kill_are_told_from_those_that_do_not() {
        check("", true);
        // NATS/1.0\r\na: b\r\n\r\n
        check("TkFUUy8xLjANCmE6IGINCg0K", true);
        // NATS/1.0\r\na: b\rc\r\n\r\n
        check("TkFUUy8xLjANCmE6IGINYw0KDQo=", false);
        // NATS/1.0\r\na: \xff\r\n\r\n
        check("TkFUUy8xLjANCmE6IP8NCg0K", false);
        // NATS/1.0\r\na b: c\r\n\r\n
        check("TkFUUy8xLjANCmEgYjogYw0KDQo=", false);
    }

    #[test]
    fn filter_takes_what_the_server_takes() {
        assert!(takes("a:b.*", "a:b.k"));
        assert!(!takes("a:b.*", "a:b"));
        assert!(!takes("a:b.*", "a:b.k.l"));
        assert!(takes("redrive.g.a:b.*", "redrive.g.a:b.k"));
        assert!(!takes("redrive.g.a:b.*", "redrive.h.a:b.k"));
    }
}
