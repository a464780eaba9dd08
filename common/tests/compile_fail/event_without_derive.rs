//! An event that lacks a derive.

use common::{Event, Key, QueueGroup, StreamName, subjects};
use serde::{Deserialize, Serialize};

const LETTERS: StreamName = StreamName::new("LETTERS");
const POST_OFFICE: QueueGroup = QueueGroup::new("post-office");
const ARCHIVE: QueueGroup = QueueGroup::new("archive");

subjects! {
    /// Every channel of the post.
    pub enum Post {
        /// A letter was handed in.
        LetterPosted: "letter:posted", stream LETTERS, from POST_OFFICE, to [ARCHIVE];
    }
}

/// A letter was handed in.
#[derive(Serialize, Deserialize)]
pub struct LetterPosted {
    id: Key,
}

impl Event for LetterPosted {
    const SUBJECT: Post = Post::LetterPosted;

    fn key(&self) -> Key {
        self.id.clone()
    }
}

fn main() {}
