use bytes::Bytes;

use super::DeadLetters;
use super::letter::{Holds, Letter, Origin};
use crate::client::ApiError;
use crate::cloud_events as ce;
use crate::dead_letter as record;
use crate::error::Chain;
use crate::event::{Carries, Event, version_of};
use crate::headers::Headers;
use crate::message::Incoming;
use crate::metadata::Position;
use crate::name::Key;
use crate::publisher::{PublishError, store};
use crate::runner::{read_subject, takes};
use crate::stored::RawMessage;
use crate::subject_set::{EventVisitor, Listed, SubjectSet};
use crate::topology::ConsumerInfo;
use crate::version::Version;

/// A copy of a dead message, ready to be sent to the group that failed and to no other.
///
/// It is the same event, by `ce-id` and `ce-source`, under a fresh `Nats-Msg-Id` that is made of its death.
#[derive(Debug, Clone)]
pub struct Redrive {
    letter: u64,
    channel: String,
    key: String,
    origin: Position,
    subject: String,
    headers: Headers,
    payload: Bytes,
}

/// What became of a letter that was sent again. It is not among the dead letters any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redriven {
    /// The group's stream has the copy.
    Sent {
        /// The copy's number there.
        sequence: u64,
    },
    /// The group's stream had a copy from an earlier time, which did not come to removing the letter. None was added.
    SentBefore,
}

/// What an event is, by the types of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// The revision of its aggregate. `None`: its type carries none.
    pub version: Option<Version>,
    /// How much of its aggregate it tells.
    pub carries: Carries,
}

impl DeadLetters {
    /// Makes ready what would be sent, and changes nothing: reads the original if it is not in the letter, and looks
    /// whether the group would hear it.
    ///
    /// # Errors
    ///
    /// [`RedriveError`] says why it cannot be sent.
    pub async fn prepare(&self, letter: &Letter) -> Result<Redrive, RedriveError> {
        let origin = letter.origin.as_ref().ok_or(RedriveError::NoOrigin)?;
        let Letter { group, .. } = letter;
        let (original, payload) = self.find_original(letter, origin).await?;
        let (Some(channel), Some(key), Some(stored_at)) =
            (&letter.channel, &letter.key, origin.stored_at)
        else {
            return Err(RedriveError::gone(origin));
        };
        let subject = record::redrive_subject(group, channel, key);
        let stream = origin.stream.as_str();
        let consumer = ConsumerInfo::read(&self.client, stream, group).await;
        let consumer = consumer.map_err(|err| RedriveError::unread(&err))?;
        let heard = consumer.is_some_and(|info| info.filters().iter().any(|f| takes(f, &subject)));
        if !heard {
            return Err(RedriveError::Unheard {
                group: group.clone(),
                subject,
            });
        }
        let position = Position {
            stream: origin.stream.clone(),
            sequence: origin.sequence,
            stored_at,
        };
        Ok(Redrive {
            letter: letter.sequence,
            channel: channel.clone(),
            key: key.clone(),
            headers: headers_of_copy(letter, &position, &original),
            origin: position,
            subject,
            payload,
        })
    }

    /// The payload of what died, from the letter or from the original's stream.
    ///
    /// # Errors
    ///
    /// [`RedriveError`] if it is in neither, or the server does not tell.
    pub async fn original(&self, letter: &Letter) -> Result<Vec<u8>, RedriveError> {
        if let Some(payload) = letter.original_payload() {
            return Ok(payload.into_owned());
        }
        let origin = letter.origin.as_ref().ok_or(RedriveError::NoOrigin)?;
        let (_, payload) = self.find_original(letter, origin).await?;
        Ok(payload.into())
    }

    /// Headers and payload of what died.
    async fn find_original(
        &self,
        letter: &Letter,
        origin: &Origin,
    ) -> Result<(Headers, Bytes), RedriveError> {
        match letter.holds {
            Holds::Everything => return Ok((letter.headers.clone(), letter.payload.clone())),
            Holds::Encoded => return Err(RedriveError::Poison),
            Holds::Headers | Holds::Nothing => (),
        }
        let Origin {
            stream,
            sequence,
            stored_at,
        } = origin;
        let original = RawMessage::read(&self.client, stream, *sequence).await;
        let original = original
            .map_err(|err| RedriveError::unread(&err))?
            .filter(|original| Some(original.time) == *stored_at)
            .filter(|original| {
                let named = (letter.channel.as_deref()).zip(letter.key.as_deref());
                read_subject(&original.subject) == named
            })
            .ok_or_else(|| RedriveError::gone(origin))?;
        let headers = original.headers().ok_or(RedriveError::Poison)?;
        Ok((headers, original.payload()))
    }

    /// Sends the copy, and removes the letter once the server has acknowledged it.
    ///
    /// Safe to repeat, whatever happened meanwhile: a copy that is there is found, and none is added.
    ///
    /// # Errors
    ///
    /// [`RedriveError`] says what is now true; the letter is still there.
    pub async fn redrive(&self, redrive: &Redrive) -> Result<Redriven, RedriveError> {
        let Redrive {
            letter,
            origin,
            subject,
            headers,
            payload,
            ..
        } = redrive;
        let redriven = if self.is_sent(redrive).await? {
            Redriven::SentBefore
        } else {
            let stream = Some(origin.stream.as_str());
            let stored = store(&self.client, stream, subject.clone(), headers, payload).await;
            let stored = stored.map_err(RedriveError::Unsent)?;
            if stored.duplicate {
                Redriven::SentBefore
            } else {
                Redriven::Sent {
                    sequence: stored.sequence,
                }
            }
        };
        match self.remove(*letter).await {
            Ok(_) => Ok(redriven),
            Err(err) => Err(RedriveError::Unremoved {
                reason: Chain(&err).to_string(),
            }),
        }
    }

    /// Whether the group's stream has the copy. The server itself remembers for two minutes only.
    async fn is_sent(&self, redrive: &Redrive) -> Result<bool, RedriveError> {
        let Redrive {
            origin,
            subject,
            headers,
            ..
        } = redrive;
        let mut next = origin.sequence.saturating_add(1);
        loop {
            let found = RawMessage::next(&self.client, &origin.stream, next, subject).await;
            let Some(copy) = found.map_err(|err| RedriveError::unread(&err))? else {
                return Ok(false);
            };
            let id = copy.headers();
            let id = id.as_ref().and_then(|headers| headers.known(&ce::MSG_ID));
            if id == headers.known(&ce::MSG_ID) {
                return Ok(true);
            }
            next = copy.sequence + 1;
        }
    }
}

/// The original's headers under a fresh `Nats-Msg-Id`, with the identity that the original had by its place, and how often
/// it was sent again.
fn headers_of_copy(letter: &Letter, origin: &Position, original: &Headers) -> Headers {
    let mut headers = original.without_record();
    record::keep_identity(&mut headers, original, origin);
    headers.set(
        record::REDRIVES,
        letter.redrives.saturating_add(1).to_string(),
    );
    // Of the death and not of the letter: a death may have two letters.
    let Position {
        stream,
        sequence,
        stored_at,
    } = origin;
    let nanos = stored_at.as_nanosecond();
    headers.set(
        ce::MSG_ID,
        format!("redrive:{}:{stream}:{sequence}:{nanos}", letter.group),
    );
    headers
}

impl Redrive {
    /// Where the copy is sent: `redrive.<queue group>.<channel>.<key>`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The payload that is sent.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Reads the copy as the event of its channel that the list `S` has today.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] says why a replica with these types would not handle it.
    pub fn decode<S: SubjectSet>(&self) -> Result<Decoded, Unreadable> {
        let subject = S::ALL
            .iter()
            .find(|subject| subject.as_str() == self.channel)
            .ok_or_else(|| Unreadable::Channel {
                channel: self.channel.clone(),
            })?;
        let mut decoder = Decoder {
            redrive: self,
            decoded: Err(Unreadable::Channel {
                channel: self.channel.clone(),
            }),
        };
        subject.visit(&mut decoder);
        decoder.decoded
    }

    fn decode_as<E: Event>(&self) -> Result<Decoded, Unreadable> {
        let key = Key::new(self.key.as_str()).map_err(|err| Unreadable::event(&err))?;
        let channel = <E as Listed>::CHANNEL;
        let (position, headers) = (self.origin.clone(), self.headers.clone());
        let incoming = Incoming::read(channel, key, position, 1, headers, self.payload.clone());
        let event: E = incoming.decode().map_err(|err| Unreadable::event(&err))?;
        Ok(Decoded {
            version: version_of(&event),
            carries: E::CARRIES,
        })
    }
}

struct Decoder<'r> {
    redrive: &'r Redrive,
    decoded: Result<Decoded, Unreadable>,
}

impl EventVisitor for Decoder<'_> {
    fn visit<E: Event>(&mut self) {
        self.decoded = self.redrive.decode_as::<E>();
    }
}

/// Why today's types do not take an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// The list has no such channel.
    #[error("`{channel}` is no channel of the list")]
    Channel {
        /// The channel.
        channel: String,
    },
    /// It is no event of its channel.
    #[error("not decodable: {reason}")]
    Event {
        /// Why.
        reason: String,
    },
}

impl Unreadable {
    fn event(err: &(dyn std::error::Error + 'static)) -> Self {
        Self::Event {
            reason: Chain(err).to_string(),
        }
    }
}

/// Why a letter was not sent again, or not removed afterwards. It is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedriveError {
    /// Its headers kill the connection of whoever receives them.
    #[error(
        "its headers kill the connection of whoever receives it: it cannot be sent again as it is; publish the event anew, then drop the letter"
    )]
    Poison,
    /// The letter does not say where the original is.
    #[error("the letter does not say where it comes from")]
    NoOrigin,
    /// The letter points to an original that is not there any more.
    #[error(
        "the original is gone from {stream} (sequence {sequence}), and the letter does not hold it"
    )]
    OriginalGone {
        /// The stream that had it.
        stream: String,
        /// Its number there.
        sequence: u64,
    },
    /// The copy would reach nobody.
    #[error("`{group}` does not listen to `{subject}`: the copy would reach nobody")]
    Unheard {
        /// The group.
        group: String,
        /// Where the copy would have been sent.
        subject: String,
    },
    /// The server did not tell of the original or of earlier copies. Nothing was sent.
    #[error("server does not tell what is needed: {reason}")]
    Unread {
        /// What the server said, or that it did not.
        reason: String,
    },
    /// The copy was not stored, or is not known to be.
    #[error("the copy was not stored")]
    Unsent(#[source] PublishError),
    /// The copy is stored, and the letter is still there: to send it again finds the copy, and adds none.
    #[error("the copy is stored, and the letter could not be removed: {reason}")]
    Unremoved {
        /// What the server said, or that it did not.
        reason: String,
    },
}

impl RedriveError {
    fn gone(origin: &Origin) -> Self {
        Self::OriginalGone {
            stream: origin.stream.clone(),
            sequence: origin.sequence,
        }
    }

    fn unread(err: &ApiError) -> Self {
        Self::Unread {
            reason: Chain(err).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::client::tests::alone;
    use crate::dead_letters::Kind;

    /// A letter that holds everything, and was sent again once before.
    fn letter(headers: &str) -> Letter {
        Letter {
            sequence: 3,
            group: "orders-service".to_owned(),
            channel: Some("ticket:created".to_owned()),
            key: Some("k".to_owned()),
            kind: Some(Kind::Rejected),
            reason: String::new(),
            attempts: 1,
            redrives: 1,
            origin: None,
            died_at: Timestamp::UNIX_EPOCH,
            holds: Holds::Everything,
            headers: serde_json::from_str(headers).unwrap(),
            payload: Bytes::from_static(b"{}"),
        }
    }

    fn origin() -> Position {
        Position {
            stream: "TICKETS".to_owned(),
            sequence: 7,
            stored_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[track_caller]
    fn check(original: &str, copy: &[(&str, &str)]) {
        let letter = letter(original);
        let headers = headers_of_copy(&letter, &origin(), &letter.headers);
        let mut headers: Vec<_> = headers.iter().collect();
        headers.sort_unstable();
        let ours = [
            ("Nats-Msg-Id", "redrive:orders-service:TICKETS:7:0"),
            ("dead-letter-redrives", "2"),
        ];
        let mut expected = [&ours, copy].concat();
        expected.sort_unstable();
        assert_eq!(headers, expected);
    }

    #[test]
    fn copy_names_the_original_once() {
        check("[]", &[("ce-id", "TICKETS:7:0"), ("ce-source", "/TICKETS")]);
        check(
            r#"[["ce-id","a"],["ce-source","/x"],["Nats-Msg-Id","a"]]"#,
            &[("ce-id", "a"), ("ce-source", "/x")],
        );
        // In structured mode, the payload does.
        check(
            r#"[["Content-Type","application/cloudevents+json"]]"#,
            &[("Content-Type", "application/cloudevents+json")],
        );
    }

    #[test]
    fn copy_of_what_was_sent_again_without_end_is_counted_as_such() {
        let letter = Letter {
            redrives: u32::MAX,
            ..letter("[]")
        };

        let headers = headers_of_copy(&letter, &origin(), &letter.headers);

        assert_eq!(headers.get("dead-letter-redrives"), Some("4294967295"));
    }

    #[tokio::test]
    async fn payload_that_is_in_the_letter_needs_neither_origin_nor_server() {
        let dead_letters = DeadLetters::new(&alone().await);

        let payload = dead_letters.original(&letter("[]")).await.unwrap();

        assert_eq!(payload, b"{}");
    }
}
