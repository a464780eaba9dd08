//! The harness of the integration tests: real NATS servers, the SDK's replicas on them, and the services.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what fails here fails the test that called it"
)]

mod bank_process;
mod cable;
mod certificates;
mod cluster;
pub mod foreign;
mod jwt;
mod ledger;
mod load;
mod nats;
pub mod notes;
mod own_process;
pub mod parcels;
mod replica;
mod scripted;
mod server;
pub mod services;
mod until;
mod wire;
mod writing;

pub use bank_process::{BankProcess, Disk, Halt, Role};
pub use cable::Cable;
pub use certificates::Certificates;
pub use cluster::Cluster;
pub use jwt::Operator;
pub use ledger::{Entry, EveryVersion, Ledger, Lock, NewestOnly, Reads, Teller};
pub use load::{Load, Pulse};
pub use nats::{Backup, ConsumerState, Letter, Message, TestNats, server_of};
pub use replica::{CREATE, Replica, attempts};
pub use scripted::{Act, Archivist, Banker, Call, Gate, HastyReader, Member, Reader, Scripted};
pub use server::Server;
pub use until::{long_enough_for, until, until_within};
pub use wire::Wire;
pub use writing::Writing;
