//! What the demo, the tests and the checks need from the machine, in plain blocking Rust: a
//! `nats-server`, found or fetched ([`nats_server`]), and run as a child that does not outlive its
//! parent ([`NatsProcess`]).
//!
//! Nothing here knows of `common`. Inside an async program call the blocking functions through
//! `spawn_blocking`, or before the runtime has work to do.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use xtask::{NatsProcess, nats_server};
//!
//! let server = nats_server::locate()?;
//! let nats = NatsProcess::builder(&server.path, "/tmp/my-nats").start()?;
//! println!("listening at {}", nats.url());
//! # Ok(())
//! # }
//! ```

pub mod command;
pub mod containers;
mod nats_process;
pub mod nats_server;
mod run_id;
mod scratch;
pub mod signal;
mod watchdog;

pub use nats_process::{
    NATS_CONF, NatsProcess, NatsProcessBuilder, NotReady, SignalError, StartError, free_port,
    reap_orphans,
};
pub use run_id::{ParseRunIdError, RunId};
pub use scratch::scratch_dir;
pub use watchdog::Watchdog;
