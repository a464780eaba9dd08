//! The one way in which orders are cancelled, and the search for those that nobody cancelled.

use std::pin::pin;
use std::time::Duration;

use common::events::{OrderCancelled, OrderId};
use common::{Chain, Database, PublishError, Publisher as _, Tx};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{MissedTickBehavior, interval};

use crate::store::{self, Cancellation, Reason};

/// How often overdue orders are searched.
const ROUND: Duration = Duration::from_secs(5);

/// How much time the schedule has to do it first.
const GRACE: SignedDuration = SignedDuration::from_secs(30);

/// Cancels an order unless it is complete, cancelled or not yet due, and publishes that it was.
pub(crate) async fn cancel(
    tx: &mut Tx<'_>,
    order: OrderId,
    reason: Reason,
) -> Result<Cancellation, CancelError> {
    let cancellation = store::cancel(tx, order, reason).await?;
    if let Cancellation::Cancelled(order) = &cancellation {
        tx.publish(&OrderCancelled::from(order)).await?;
    }
    Ok(cancellation)
}

/// Why it is not known whether an order is cancelled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CancelError {
    #[error("order could not be updated")]
    Store(#[from] sqlx::Error),
    #[error("cancellation could not be published")]
    Publish(#[from] PublishError),
}

/// Cancels what is overdue, again and again until `stop`: a schedule is a fast path, and can be lost.
pub(crate) async fn sweep(database: Database, stop: impl Future<Output = ()> + Send) {
    let mut stop = pin!(stop);
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut stop => return,
            _ = rounds.tick() => (),
        }
        if let Err(err) = cancel_overdue(&database, Timestamp::now()).await {
            tracing::warn!(error = %Chain(&err), "overdue orders stay for another round");
        }
    }
}

/// Cancels the orders that were due half a minute ago, each in a transaction of its own.
async fn cancel_overdue(database: &Database, now: Timestamp) -> Result<(), CancelError> {
    for order in store::overdue(database, now - GRACE).await? {
        let mut tx = database.begin().await?;
        let cancellation = cancel(&mut tx, order, Reason::Expired(now)).await?;
        tx.commit().await?;
        tracing::info!(%order, ?cancellation, "overdue order found");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
