//! What this service does when it hears of something, one file per event.

mod release_on_cancel;
mod reserve_on_order;
mod sell_on_completion;

use common::events::TicketUpdated;
use common::{Failure, Publisher as _, Tx};

use crate::store::Change;

pub(crate) use release_on_cancel::ReleaseOnCancel;
pub(crate) use reserve_on_order::ReserveOnOrder;
pub(crate) use sell_on_completion::SellOnCompletion;

/// Tells the others of a new holder. Tickets are made here, so one that is unknown never will be known.
async fn publish(change: Change, tx: &mut Tx<'_>) -> Result<(), Failure> {
    match change {
        Change::OfHolder(ticket) => Ok(tx.publish(&TicketUpdated::from(&ticket)).await?),
        Change::Unseen => Ok(()),
        Change::NoSuchTicket => Err(Failure::reject("there is no such ticket")),
        Change::SoldToAnother(sold) => Err(Failure::reject(sold)),
    }
}

#[cfg(test)]
mod tests;
