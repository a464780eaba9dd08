//! A stream name that the server would not take.

use common::StreamName;

pub const LETTERS: StreamName = StreamName::new("all letters");

fn main() {}
