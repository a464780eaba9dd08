//! An earlier form of an event, and nothing that makes it the present one.

use common::{Event, Key, Past, QueueGroup, StreamName, schemars, subjects};
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
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
pub struct LetterPosted {
    id: Key,
}

/// A letter was handed in: the first form.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
pub struct LetterPostedV1 {
    number: u32,
}

impl Event for LetterPosted {
    const SUBJECT: Post = Post::LetterPosted;
    const PAST: &'static [Past<Self>] = &[Past::of::<LetterPostedV1>()];

    fn key(&self) -> Key {
        self.id.clone()
    }
}

fn main() {}
