//! The one way in which orders are cancelled, and the search for those that nobody cancelled.

use std::pin::pin;
use std::time::Duration;

use common::events::{OrderCancelled, OrderId};
use common::{Chain, Database, Failure, FailureKind, PublishError, Publisher as _, Tx};
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
            biased;
            () = &mut stop => return,
            _ = rounds.tick() => (),
        }
        let cancelled = tokio::select! {
            biased;
            () = &mut stop => return,
            cancelled = cancel_overdue(&database, Timestamp::now()) => cancelled,
        };
        match cancelled {
            Ok(cancelled) => tracing::debug!(cancelled, "looked for overdue orders"),
            Err(failure) => {
                let error = Chain(failure.source());
                tracing::warn!(%error, "overdue orders stay for another round");
            }
        }
    }
}

/// Cancels the orders that were due half a minute ago, each in a transaction of its own, and says how many
/// it has. One that cannot be cancelled holds up no other; a database that is away ends the search.
async fn cancel_overdue(database: &Database, now: Timestamp) -> Result<usize, Failure> {
    let (mut cancelled, mut after) = (0, None);
    loop {
        let page = store::overdue(database, now - GRACE, after).await?;
        let Some(&last) = page.last() else {
            return Ok(cancelled);
        };
        after = Some(last);
        for order in page {
            cancelled += usize::from(cancel_if_overdue(database, order.id, now).await?);
        }
    }
}

/// Whether it was cancelled now.
async fn cancel_if_overdue(
    database: &Database,
    order: OrderId,
    now: Timestamp,
) -> Result<bool, Failure> {
    match expire(database, order, now).await.map_err(Failure::from) {
        Ok(Cancellation::Cancelled(_)) => {
            tracing::info!(%order, "overdue order cancelled");
            Ok(true)
        }
        Ok(
            Cancellation::AlreadyCancelled
            | Cancellation::Complete
            | Cancellation::NotYetDue
            | Cancellation::NoSuchOrder,
        ) => {
            tracing::debug!(%order, "overdue order was settled meanwhile");
            Ok(false)
        }
        Err(failure) if failure.kind() == FailureKind::Unavailable => Err(failure),
        Err(failure) => {
            let error = Chain(failure.source());
            tracing::warn!(%order, %error, "overdue order could not be cancelled");
            Ok(false)
        }
    }
}

async fn expire(
    database: &Database,
    order: OrderId,
    now: Timestamp,
) -> Result<Cancellation, CancelError> {
    let mut tx = database.begin().await?;
    let cancellation = cancel(&mut tx, order, Reason::Expired(now)).await?;
    tx.commit().await?;
    Ok(cancellation)
}

#[cfg(test)]
mod tests;
