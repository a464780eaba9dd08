//! What could not be handled, for whoever sees to it: read, sent again, or given up for good.
//!
//! A letter leaves the stream of dead letters only when the server has acknowledged the copy that goes to the group which
//! failed, or when it is [dropped](DeadLetters::discard).
//!
//! ```no_run
//! use common::dead_letters::{DeadLetters, Filter, Kind};
//!
//! # async fn run(client: common::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let dead_letters = DeadLetters::new(&client);
//! let rejected = Filter { kind: Some(Kind::Rejected), ..Filter::default() };
//! let mut letters = dead_letters.letters(rejected).await?;
//! while let Some(letter) = letters.next().await? {
//!     let redrive = dead_letters.prepare(&letter).await?;
//!     dead_letters.redrive(&redrive).await?;
//! }
//! # Ok(())
//! # }
//! ```

use serde_json::{Value, json};

use crate::client::{ApiError, Client};
use crate::error::Chain;
use crate::stored::RawMessage;
use crate::topology::{DEAD_LETTERS, StreamInfo};

mod filter;
mod kind;
mod letter;
mod redrive;

pub use filter::Filter;
pub use kind::{Kind, UnknownKind};
pub use letter::{Holds, Letter, Origin};
pub use redrive::{Decoded, Redrive, RedriveError, Redriven, Unreadable};

/// The stream of the dead letters of every queue group.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    client: Client,
}

/// Letters one after the other, oldest first: see [`DeadLetters::letters`].
#[derive(Debug)]
pub struct Letters {
    client: Client,
    filter: Filter,
    next: u64,
    last: u64,
}

impl DeadLetters {
    /// The dead letters of the server that `client` is connected to.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
        }
    }

    /// The letters that the filter takes and that are there now. Those that come meanwhile are not among them, so
    /// that whoever sends letters again comes to an end, though some die again.
    ///
    /// # Errors
    ///
    /// [`DeadLetterError`] if the server does not tell.
    pub async fn letters(&self, filter: Filter) -> Result<Letters, DeadLetterError> {
        let info = StreamInfo::read(&self.client, DEAD_LETTERS)
            .await
            .map_err(|err| DeadLetterError::unread(&err))?;
        let info = info.ok_or(DeadLetterError::NoStream)?;
        Ok(Letters {
            client: self.client.clone(),
            filter,
            next: info.state.first_seq.max(1),
            last: info.state.last_seq,
        })
    }

    /// One letter, by its number. `None`: it is not there, or not any more.
    ///
    /// # Errors
    ///
    /// [`DeadLetterError`] if the server does not tell.
    pub async fn get(&self, sequence: u64) -> Result<Option<Letter>, DeadLetterError> {
        let read = async {
            match RawMessage::read(&self.client, DEAD_LETTERS, sequence).await? {
                Some(message) => Letter::read(&self.client, &message).await,
                None => Ok(None),
            }
        };
        read.await.map_err(|err| DeadLetterError::unread(&err))
    }

    /// Removes a letter for good: its event will not reach the group. `false`: it was not there any more.
    ///
    /// For an event with a version that the group waits for, see `Database::skip_version` too.
    ///
    /// # Errors
    ///
    /// [`DeadLetterError`] if the server does not do it.
    pub async fn discard(&self, letter: &Letter) -> Result<bool, DeadLetterError> {
        self.remove(letter.sequence)
            .await
            .map_err(|err| DeadLetterError::unremoved(&err))
    }

    async fn remove(&self, sequence: u64) -> Result<bool, ApiError> {
        let removed: Result<Value, _> = self
            .client
            .api(
                &format!("STREAM.MSG.DELETE.{DEAD_LETTERS}"),
                &json!({ "seq": sequence, "no_erase": true }),
            )
            .await;
        let Err(err) = removed else {
            return Ok(true);
        };
        let there = RawMessage::read(&self.client, DEAD_LETTERS, sequence).await?;
        if there.is_some() { Err(err) } else { Ok(false) }
    }
}

impl Letters {
    /// The next letter. `None`: that was all.
    ///
    /// # Errors
    ///
    /// [`DeadLetterError`] if the server does not tell.
    pub async fn next(&mut self) -> Result<Option<Letter>, DeadLetterError> {
        self.find()
            .await
            .map_err(|err| DeadLetterError::unread(&err))
    }

    async fn find(&mut self) -> Result<Option<Letter>, ApiError> {
        let client = &self.client;
        while self.next <= self.last {
            let mut first: Option<RawMessage> = None;
            for subject in self.filter.subjects() {
                let found = RawMessage::next(client, DEAD_LETTERS, self.next, &subject).await?;
                first = match (first, found) {
                    (Some(first), Some(found)) if found.sequence < first.sequence => Some(found),
                    (None, found) => found,
                    (first, _) => first,
                };
            }
            let Some(message) = first.filter(|message| message.sequence <= self.last) else {
                break;
            };
            self.next = message.sequence + 1;
            let letter = Letter::read(client, &message).await?;
            if let Some(letter) = letter.filter(|letter| self.filter.takes(letter)) {
                return Ok(Some(letter));
            }
        }
        self.next = self.last + 1;
        Ok(None)
    }
}

/// Why dead letters could not be seen to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// The server has no stream of dead letters.
    #[error("there is no stream of dead letters; provision it")]
    NoStream,
    /// The server did not tell of them.
    #[error("dead letters could not be read: {reason}")]
    Unread {
        /// What the server said, or that it did not.
        reason: String,
    },
    /// The server did not remove a letter.
    #[error("dead letter could not be removed: {reason}")]
    Unremoved {
        /// What the server said, or that it did not.
        reason: String,
    },
}

impl DeadLetterError {
    fn unread(err: &ApiError) -> Self {
        Self::Unread {
            reason: Chain(err).to_string(),
        }
    }

    fn unremoved(err: &ApiError) -> Self {
        Self::Unremoved {
            reason: Chain(err).to_string(),
        }
    }
}
