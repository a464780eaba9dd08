use async_nats::{Message, Subject};
use bytes::Bytes;
use jiff::Timestamp;

use crate::headers::Headers;
use crate::metadata::Position;

/// A message as the server delivered it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) channel: String,
    /// The last token of the subject, valid as a key or not.
    pub(crate) key: String,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
    pub(crate) position: Position,
    /// How often the server has delivered it, this time included.
    pub(crate) deliveries: u32,
    /// Where it is settled.
    pub(crate) reply: Subject,
}

impl Received {
    /// Reads a delivery. `None`: its reply subject is not that of one.
    pub(crate) fn read(message: Message) -> Option<Self> {
        let reply = message.reply?;
        let delivered = read_reply(&reply)?;
        let (channel, key) = read_subject(&message.subject)?;
        Some(Self {
            channel: channel.to_owned(),
            key: key.to_owned(),
            headers: Headers::from_nats(message.headers.unwrap_or_default()),
            payload: message.payload,
            position: delivered.position,
            deliveries: delivered.deliveries,
            reply,
        })
    }
}

struct Delivered {
    position: Position,
    deliveries: u32,
}

/// Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<nanoseconds>.<pending>`,
/// and the form that has a domain and an account before the stream (ADR-15).
fn read_reply(reply: &str) -> Option<Delivered> {
    let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
    let tokens = match tokens.len() {
        7 => &tokens[..],
        9.. => &tokens[2..],
        _ => return None,
    };
    let &[stream, _, deliveries, sequence, _, nanos, ..] = tokens else {
        return None;
    };
    Some(Delivered {
        position: Position {
            stream: stream.to_owned(),
            sequence: sequence.parse().ok()?,
            stored_at: Timestamp::from_nanosecond(nanos.parse().ok()?).ok()?,
        },
        deliveries: deliveries.parse().ok()?,
    })
}

/// Channel and key of `<channel>.<key>` and `redrive.<queue group>.<channel>.<key>`.
pub(crate) fn read_subject(subject: &str) -> Option<(&str, &str)> {
    let (rest, key) = subject.rsplit_once('.')?;
    let channel = match rest.split_once('.') {
        None => rest,
        Some(("redrive", group_and_channel)) => group_and_channel.split_once('.')?.1,
        Some(_) => return None,
    };
    (!channel.contains('.')).then_some((channel, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_reply_are_read() {
        for reply in [
            "$JS.ACK.TICKETS.orders-service.2.7.9.1700000000000000001.3",
            "$JS.ACK._.HASH.TICKETS.orders-service.2.7.9.1700000000000000001.3",
            "$JS.ACK._.HASH.TICKETS.orders-service.2.7.9.1700000000000000001.3.random",
        ] {
            let delivered = read_reply(reply).unwrap();
            assert_eq!(delivered.deliveries, 2);
            assert_eq!(delivered.position.stream, "TICKETS");
            assert_eq!(delivered.position.sequence, 7);
            assert_eq!(
                delivered.position.stored_at.as_nanosecond(),
                1_700_000_000_000_000_001
            );
        }
        for reply in ["", "$JS.ACK.a.b", "_INBOX.x.y", "$JS.ACK.a.b.c.d.e.f.g"] {
            assert!(read_reply(reply).is_none(), "{reply}");
        }
    }

    #[test]
    fn redriven_message_has_the_channel_and_key_of_the_original() {
        assert_eq!(
            read_subject("ticket:created.k"),
            Some(("ticket:created", "k"))
        );
        assert_eq!(
            read_subject("redrive.orders-service.ticket:created.k"),
            Some(("ticket:created", "k"))
        );
        for subject in ["", "a", "a.b.c", "redrive.a.b", "redrive.a.b.c.d"] {
            assert_eq!(read_subject(subject), None, "{subject}");
        }
    }
}
