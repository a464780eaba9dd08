//! A line of a list whose type is no event.

use common::{QueueGroup, StreamName, subjects};

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
pub struct LetterPosted;

fn main() {}
