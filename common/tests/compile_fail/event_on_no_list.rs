//! An event that is on no list.

use common::{Event, Key, Subjects, schemars};
use serde::{Deserialize, Serialize};

/// A ticket was stolen.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
pub struct TicketStolen {
    id: Key,
}

impl Event for TicketStolen {
    const SUBJECT: Subjects = Subjects::TicketCreated;

    fn key(&self) -> Key {
        self.id.clone()
    }
}

fn main() {}
