//! The harness of the integration tests: real NATS servers, the SDK's replicas on them, and the services.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what fails here fails the test that called it"
)]

mod bank_process;
mod cable;
mod ledger;
mod nats;
pub mod notes;
mod own_process;
mod replica;
mod scripted;
mod server;
pub mod services;
mod until;
mod wire;

pub use bank_process::{BankProcess, Disk, Halt, Role};
pub use cable::Cable;
pub use ledger::{Entry, EveryVersion, Ledger, Lock, NewestOnly, Reads, Teller};
pub use nats::{Backup, ConsumerState, Letter, Message, TestNats};
pub use replica::{CREATE, Replica, attempts};
pub use scripted::{Act, Archivist, Banker, Call, Gate, HastyReader, Member, Reader, Scripted};
pub use server::Server;
pub use until::{long_enough_for, until, until_within};
pub use wire::Wire;
