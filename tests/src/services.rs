//! The three services, real: as tasks of the test or as the programs they are, on `SQLite` files in a folder that is
//! thrown away, against a NATS server, spoken to over HTTP.
//!
//! Nothing here goes around a service: what is done is done over HTTP or by a message on a stream, and what became of
//! it is read where a customer, a bank or an operator would look. [`until`] waits, and says for what.

mod books;
mod broker;
mod gate;
mod program;
mod servers;
mod system;
mod user;

pub use crate::until::{until, until_within};
pub use books::{Books, Story};
pub use broker::{Broker, Copy, DeadLetter, StoredMessage};
pub use gate::{Gate, Side};
pub use program::Program;
pub use system::{System, SystemBuilder};
pub use user::{User, request};
