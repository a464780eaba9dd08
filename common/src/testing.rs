//! Services without a broker: a publisher that records, a listener that is handed an event, samples
//! of every event, databases that are thrown away, and the conformance suite of publishers (feature
//! `testing`).
//!
//! ```
//! use common::events::TicketCreated;
//! use common::testing::{Outcome, RecordingPublisher, deliver, sample};
//! use common::{Delivery, Failure, Listener, ORDERS_SERVICE, Publisher, QueueGroup, Settled};
//!
//! struct Announce;
//!
//! impl Listener for Announce {
//!     type Event = TicketCreated;
//!
//!     const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;
//!
//!     async fn on_message(&self, ticket: TicketCreated, delivery: Delivery<'_>) -> Result<Settled, Failure> {
//!         if ticket.title.as_str() == "Test" {
//!             return Ok(delivery.reject("nobody goes to a test"));
//!         }
//!         Ok(delivery.ack())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let test = TicketCreated { title: sample::title("Test"), ..sample::ticket_created() };
//! let rejected = Outcome::Rejected { reason: "nobody goes to a test".to_owned() };
//! assert_eq!(deliver(&Announce, test).await, rejected);
//!
//! let mut publisher = RecordingPublisher::new();
//! publisher.publish(&sample::ticket_created()).await?;
//! assert_eq!(publisher.published::<TicketCreated>().len(), 1);
//! # Ok::<(), common::PublishError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "http")]
mod caller;
pub mod conformance;
mod deliver;
#[cfg(feature = "sql")]
mod outbox;
mod recording;
pub mod sample;

#[cfg(feature = "http")]
pub use caller::{Caller, Reply};
pub use deliver::{Envelope, Outcome, deliver};
#[cfg(feature = "sql")]
pub use outbox::{Unsent, outbox};
pub use recording::{Published, RecordingPublisher};

#[cfg(feature = "sql")]
pub use crate::sql::ScratchDatabase;
