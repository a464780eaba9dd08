//! Two lines of a list with one channel.

use common::{Event, Key, QueueGroup, StreamName, schemars, subjects};
use serde::{Deserialize, Serialize};

const LETTERS: StreamName = StreamName::new("LETTERS");
const POST_OFFICE: QueueGroup = QueueGroup::new("post-office");
const ARCHIVE: QueueGroup = QueueGroup::new("archive");

subjects! {
    /// Every channel of the post.
    pub enum Post {
        /// A letter was handed in.
        LetterPosted: "letter:posted", stream LETTERS, from POST_OFFICE, to [ARCHIVE];
        /// A letter was delivered.
        LetterDelivered: "letter:posted", stream LETTERS, from POST_OFFICE, to [ARCHIVE];
    }
}

/// A letter was handed in.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
pub struct LetterPosted {
    id: Key,
}

impl Event for LetterPosted {
    const SUBJECT: Post = Post::LetterPosted;

    fn key(&self) -> Key {
        self.id.clone()
    }
}

/// A letter was delivered.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
pub struct LetterDelivered {
    id: Key,
}

impl Event for LetterDelivered {
    const SUBJECT: Post = Post::LetterDelivered;

    fn key(&self) -> Key {
        self.id.clone()
    }
}

fn main() {}
