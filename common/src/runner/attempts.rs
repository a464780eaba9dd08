use super::received::Received;
use super::worker::HAND_BACKS;
#[cfg(feature = "sql")]
use crate::sql::GroupLedger;

/// Where the attempts at a message are counted.
#[derive(Debug)]
pub(super) enum Attempts {
    /// By the server, as deliveries.
    Server,
    /// In the group's database, before a redelivered message starts: a handler that kills its
    /// process is counted too, and what never started is not.
    #[cfg(feature = "sql")]
    Database(GroupLedger),
}

/// An attempt that is about to start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    /// Its number, the first being 1.
    pub(super) number: u32,
    counted: Counted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// It counts already.
    Yes,
    /// It counts if it fails: a first delivery costs no write.
    IfItFails,
}

/// Why attempts could not be counted.
#[cfg(feature = "sql")]
pub(super) type CountError = sqlx::Error;
/// Why attempts could not be counted.
#[cfg(not(feature = "sql"))]
pub(super) type CountError = std::convert::Infallible;

impl Attempts {
    /// The highest attempt that starts. The server counts what was handed back as well: by one more, an event that
    /// nobody could read for long is tried at least once.
    pub(super) fn limit(&self, max_attempts: u32) -> u32 {
        match self {
            Self::Server => max_attempts.saturating_add(HAND_BACKS),
            #[cfg(feature = "sql")]
            Self::Database(_) => max_attempts,
        }
    }

    pub(super) async fn begin(&self, received: &Received) -> Result<Begun, CountError> {
        match self {
            Self::Server => Ok(Begun {
                number: received.deliveries,
                counted: Counted::Yes,
            }),
            #[cfg(feature = "sql")]
            Self::Database(_) if received.deliveries == 1 => Ok(Begun {
                number: 1,
                counted: Counted::IfItFails,
            }),
            #[cfg(feature = "sql")]
            Self::Database(ledger) => Ok(Begun {
                number: ledger.begin_attempt(&received.position).await?,
                counted: Counted::Yes,
            }),
        }
    }

    /// The attempt failed. Returns how many have.
    pub(super) async fn failed(
        &self,
        #[cfg_attr(
            not(feature = "sql"),
            expect(unused_variables, reason = "the server counts")
        )]
        received: &Received,
        begun: Begun,
    ) -> Result<u32, CountError> {
        match (self, begun.counted) {
            #[cfg(feature = "sql")]
            (Self::Database(ledger), Counted::IfItFails) => {
                ledger.begin_attempt(&received.position).await
            }
            (_, Counted::Yes | Counted::IfItFails) => Ok(begun.number),
        }
    }

    /// The attempt was none: the message is handed back without having failed.
    pub(super) async fn undo(
        &self,
        #[cfg_attr(
            not(feature = "sql"),
            expect(unused_variables, reason = "the server counts")
        )]
        received: &Received,
        begun: Begun,
    ) -> Result<(), CountError> {
        match (self, begun.counted) {
            #[cfg(feature = "sql")]
            (Self::Database(ledger), Counted::Yes) => ledger.undo_attempt(&received.position).await,
            (_, Counted::Yes | Counted::IfItFails) => Ok(()),
        }
    }

    /// The message will not come again.
    pub(super) async fn forget(
        &self,
        #[cfg_attr(
            not(feature = "sql"),
            expect(unused_variables, reason = "the server counts")
        )]
        received: &Received,
    ) -> Result<(), CountError> {
        match self {
            Self::Server => Ok(()),
            #[cfg(feature = "sql")]
            Self::Database(_) if received.deliveries == 1 => Ok(()),
            #[cfg(feature = "sql")]
            Self::Database(ledger) => ledger.forget_attempts(&received.position).await,
        }
    }
}
