//! A version that the checks at the start would not know of.

use common::{Event, Key, QueueGroup, StreamName, Version, schemars, subjects};
use serde::{Deserialize, Serialize};

const LETTERS: StreamName = StreamName::new("LETTERS");
const POST_OFFICE: QueueGroup = QueueGroup::new("post-office");

subjects! {
    /// Every channel of the post.
    pub enum Post {
        /// A letter was handed in.
        LetterPosted: "letter:posted", stream LETTERS, from POST_OFFICE, to [];
    }
}

/// A letter was handed in.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
pub struct LetterPosted {
    id: Key,
    version: Version,
}

impl Event for LetterPosted {
    const SUBJECT: Post = Post::LetterPosted;

    fn key(&self) -> Key {
        self.id.clone()
    }

    fn version(&self) -> Option<Version> {
        Some(self.version)
    }
}

fn main() {}
