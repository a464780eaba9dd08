use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::{Message, TestNats};
use crate::until;

const DEAD_LETTERS: &str = "DEAD_LETTERS";

/// A message that a queue group gave up, with why.
#[derive(Debug, Clone)]
pub struct Letter {
    /// `dead-letter.<queue group>.<channel>.<key>`
    pub subject: String,
    /// Why, in a word: `rejected`, `undecodable`, ...
    pub kind: String,
    /// Why, in a sentence.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The stream that the original is in, and its place there.
    pub origin: (String, u64),
    /// Where the payload is, if not here.
    pub body: Option<String>,
    /// The headers that are not about its death.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The payload.
    pub payload: Bytes,
}

impl From<Message> for Letter {
    fn from(message: Message) -> Self {
        let note = |name: &str| message.header(&format!("dead-letter-{name}"));
        let text = |name: &str| note(name).unwrap_or_default().to_owned();
        let number = |name: &str| note(name).and_then(|number| number.parse().ok());
        let reason = text("reason");
        Self {
            kind: text("kind"),
            reason: percent_decode_str(&reason).decode_utf8_lossy().into_owned(),
            attempts: number("attempts").unwrap_or_default(),
            origin: (
                text("stream"),
                note("sequence")
                    .and_then(|sequence| sequence.parse().ok())
                    .unwrap_or_default(),
            ),
            body: note("body").map(str::to_owned),
            subject: message.subject.clone(),
            headers: message
                .headers
                .iter()
                .filter(|(name, _)| !name.starts_with("dead-letter-"))
                .map(|(name, values)| (name.clone(), values.clone()))
                .collect(),
            payload: message.payload.clone(),
        }
    }
}

impl TestNats {
    /// Everything that was given up, oldest first.
    pub async fn dead_letters(&self) -> Vec<Letter> {
        let messages = self.stored(DEAD_LETTERS, "dead-letter.>").await;
        messages.into_iter().map(Letter::from).collect()
    }

    /// Waits for the first dead letter, at the next call for the second, and so on.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn next_dead_letter(&self) -> Letter {
        let next = self.read.fetch_add(1, Ordering::Relaxed);
        until(&format!("dead letter {} is there", next + 1), async || {
            let mut letters = self.dead_letters().await;
            if next < letters.len() {
                Ok(letters.swap_remove(next))
            } else {
                Err(letters.len())
            }
        })
        .await
    }
}
