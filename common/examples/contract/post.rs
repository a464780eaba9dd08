//! What `publish` and `listen` agree on.

use common::{Event, Key, QueueGroup, StreamName, schemars, subjects};
use serde::{Deserialize, Serialize};

pub(crate) const LETTERS: StreamName = StreamName::new("LETTERS");
pub(crate) const POST_OFFICE: QueueGroup = QueueGroup::new("post-office");
pub(crate) const CARRIERS: QueueGroup = QueueGroup::new("carriers");
pub(crate) const ARCHIVE: QueueGroup = QueueGroup::new("archive");

subjects! {
    /// Every channel of the post.
    pub(crate) enum Post {
        /// A letter was handed in.
        Posted: "letter:posted", stream LETTERS, from POST_OFFICE, to [CARRIERS, ARCHIVE];
    }
}

/// A letter was handed in.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct Posted {
    /// The letter's number.
    pub(crate) id: Key,
    /// Who gets it.
    pub(crate) to: String,
}

impl Event for Posted {
    const SUBJECT: Post = Post::Posted;

    fn key(&self) -> Key {
        self.id.clone()
    }
}
