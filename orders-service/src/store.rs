//! What this service remembers. Every change is one conditional update: whoever comes second, in
//! whichever replica, finds no row and reads again.
//!
//! Columns are named in every statement: PostgreSQL refuses a prepared `SELECT *` once the migration of
//! a newer replica has added a column.

use common::columns::{number, text, value};
use common::events::{Cents, OrderId, PaymentId, RefundId, TicketId, UserId};
use common::http::Page;
use common::{Database, Tx};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::order::{Order, Status, Ticket};

pub(crate) const MIGRATIONS: &[&str] = &[include_str!("../migrations/0001_orders.sql")];

/// Keeps what tickets-service has published, unless something newer is known.
pub(crate) async fn keep(tx: &mut Tx<'_>, ticket: &Ticket) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO tickets (id, version, title, price, order_id) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET version = excluded.version, title = excluded.title,
             price = excluded.price, order_id = excluded.order_id
         WHERE tickets.version < excluded.version",
    )
    .bind(ticket.id.to_string())
    .bind(ticket.version.to_sql())
    .bind(ticket.title.as_str())
    .bind(ticket.price.to_sql())
    .bind(ticket.holder.map(|order| order.to_string()))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What is known of a ticket that somebody wants to order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    ForSale { title: String, price: Cents },
    Reserved,
    NoSuchTicket,
}

/// Looks whether a ticket can be ordered. One whose holder is cancelled can: tickets-service only has
/// not heard of it yet, and the next order takes its place there.
pub(crate) async fn offer(tx: &mut Tx<'_>, ticket: TicketId) -> Result<Offer, sqlx::Error> {
    let row = sqlx::query(
        "SELECT tickets.title, tickets.price, tickets.order_id, orders.status AS holder_status
         FROM tickets LEFT JOIN orders ON orders.id = tickets.order_id WHERE tickets.id = $1",
    )
    .bind(ticket.to_string())
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else {
        return Ok(Offer::NoSuchTicket);
    };
    let holder: Option<String> = row.try_get("order_id")?;
    let holder_status: Option<String> = row.try_get("holder_status")?;
    if holder.is_some() && holder_status.as_deref() != Some(Status::Cancelled.as_str()) {
        return Ok(Offer::Reserved);
    }
    Ok(Offer::ForSale {
        title: row.try_get("title")?,
        price: number(&row, "price")?,
    })
}

/// Whether an order was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    Placed,
    /// Another order of the ticket is not cancelled.
    Taken,
}

/// Places an order, if no other of its ticket stands.
pub(crate) async fn place(tx: &mut Tx<'_>, order: &Order) -> Result<Placement, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO orders (id, version, status, user_id, ticket_id, price, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(order.id.to_string())
    .bind(order.version.to_sql())
    .bind(order.status.as_str())
    .bind(order.buyer.as_str())
    .bind(order.ticket.to_string())
    .bind(order.price.to_sql())
    .bind(order.expires_at.as_millisecond())
    .execute(tx.connection())
    .await?;
    Ok(match inserted.rows_affected() {
        0 => Placement::Taken,
        _ => Placement::Placed,
    })
}

/// An order, and what its ticket is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Titled {
    pub(crate) order: Order,
    pub(crate) title: String,
}

pub(crate) async fn find(database: &Database, id: OrderId) -> Result<Option<Titled>, sqlx::Error> {
    sqlx::query(
        "SELECT orders.id, orders.version, orders.status, orders.user_id, orders.ticket_id, orders.price,
             orders.expires_at, tickets.title
         FROM orders JOIN tickets ON tickets.id = orders.ticket_id
         WHERE orders.id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(database.reader())
    .await?
    .as_ref()
    .map(titled)
    .transpose()
}

/// The orders of a buyer, oldest first.
pub(crate) async fn of_buyer(
    database: &Database,
    buyer: &UserId,
    page: Page<OrderId>,
) -> Result<Vec<Titled>, sqlx::Error> {
    sqlx::query(
        "SELECT orders.id, orders.version, orders.status, orders.user_id, orders.ticket_id, orders.price,
             orders.expires_at, tickets.title
         FROM orders JOIN tickets ON tickets.id = orders.ticket_id
         WHERE orders.user_id = $1 AND orders.id > $2 ORDER BY orders.id LIMIT $3",
    )
    .bind(buyer.as_str())
    .bind(page.after.map_or_else(String::new, |id| id.to_string()))
    .bind(page.limit.to_sql())
    .fetch_all(database.reader())
    .await?
    .iter()
    .map(titled)
    .collect()
}

/// An order whose time is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overdue {
    pub(crate) id: OrderId,
    /// In milliseconds since 1970.
    expires_at: i64,
}

/// A hundred orders behind `after` that expired at or before the moment and are neither paid nor
/// cancelled, those that wait longest first.
pub(crate) async fn overdue(
    database: &Database,
    moment: Timestamp,
    after: Option<Overdue>,
) -> Result<Vec<Overdue>, sqlx::Error> {
    sqlx::query(
        "SELECT id, expires_at FROM orders
         WHERE status IN ('created', 'awaiting:payment') AND expires_at <= $1 AND (expires_at, id) > ($2, $3)
         ORDER BY expires_at, id LIMIT 100",
    )
    .bind(moment.as_millisecond())
    .bind(after.map_or(i64::MIN, |after| after.expires_at))
    .bind(after.map_or_else(String::new, |after| after.id.to_string()))
    .fetch_all(database.reader())
    .await?
    .iter()
    .map(|row| {
        Ok(Overdue {
            id: text(row, "id")?,
            expires_at: row.try_get("expires_at")?,
        })
    })
    .collect()
}

/// What a reservation by tickets-service means for the order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    Confirmed,
    /// It is confirmed, paid or cancelled already.
    NotWaiting,
    /// No order of this ticket has that id.
    NoSuchOrder,
}

/// Notes that the ticket is reserved for the order. Nobody else hears of it, so the version stays.
pub(crate) async fn confirm(
    tx: &mut Tx<'_>,
    order: OrderId,
    ticket: TicketId,
) -> Result<Confirmation, sqlx::Error> {
    let confirmed = sqlx::query(
        "UPDATE orders SET status = 'awaiting:payment'
         WHERE id = $1 AND ticket_id = $2 AND status = 'created'",
    )
    .bind(order.to_string())
    .bind(ticket.to_string())
    .execute(tx.connection())
    .await?;
    if confirmed.rows_affected() > 0 {
        return Ok(Confirmation::Confirmed);
    }
    Ok(match read(tx, order).await? {
        Some(Stored { order, .. }) if order.ticket == ticket => Confirmation::NotWaiting,
        _ => Confirmation::NoSuchOrder,
    })
}

/// What a payment means for its order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    Completed(Order),
    /// By this payment, before.
    AlreadyComplete,
    /// By another payment.
    PaidOtherwise,
    /// It stays cancelled; the money is given back.
    Cancelled,
    /// The payment is not of the order's price.
    WrongAmount {
        price: Cents,
    },
    NoSuchOrder,
}

/// Completes an order that is not cancelled.
pub(crate) async fn complete(
    tx: &mut Tx<'_>,
    order: OrderId,
    payment: PaymentId,
    amount: Cents,
) -> Result<Completion, sqlx::Error> {
    let completed = sqlx::query(
        "UPDATE orders SET status = 'complete', version = version + 1, payment_id = $1
         WHERE id = $2 AND price = $3 AND status IN ('created', 'awaiting:payment')
         RETURNING id, version, status, user_id, ticket_id, price, expires_at",
    )
    .bind(payment.to_string())
    .bind(order.to_string())
    .bind(amount.to_sql())
    .fetch_optional(tx.connection())
    .await?;
    if let Some(row) = completed {
        return self::order(&row).map(Completion::Completed);
    }
    Ok(match read(tx, order).await? {
        None => Completion::NoSuchOrder,
        Some(Stored { order, .. }) if order.status == Status::Cancelled => Completion::Cancelled,
        Some(stored) if stored.payment == Some(payment) => Completion::AlreadyComplete,
        Some(stored) if stored.payment.is_some() => Completion::PaidOtherwise,
        Some(stored) => Completion::WrongAmount {
            price: stored.order.price,
        },
    })
}

/// Why an order is to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its buyer gives it up.
    GivenUp,
    /// Its time may be over at this moment.
    Expired(Timestamp),
}

/// What became of an order that was to be cancelled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancellation {
    Cancelled(Order),
    AlreadyCancelled,
    Complete,
    /// Its time is not over.
    NotYetDue,
    NoSuchOrder,
}

/// Cancels an order that is not paid.
pub(crate) async fn cancel(
    tx: &mut Tx<'_>,
    order: OrderId,
    reason: Reason,
) -> Result<Cancellation, sqlx::Error> {
    let latest = match reason {
        Reason::GivenUp => Timestamp::MAX,
        Reason::Expired(now) => now,
    };
    let cancelled = sqlx::query(
        "UPDATE orders SET status = 'cancelled', version = version + 1
         WHERE id = $1 AND expires_at <= $2 AND status IN ('created', 'awaiting:payment')
         RETURNING id, version, status, user_id, ticket_id, price, expires_at",
    )
    .bind(order.to_string())
    .bind(latest.as_millisecond())
    .fetch_optional(tx.connection())
    .await?;
    if let Some(row) = cancelled {
        return self::order(&row).map(Cancellation::Cancelled);
    }
    Ok(match read(tx, order).await? {
        None => Cancellation::NoSuchOrder,
        Some(Stored { order, .. }) => match order.status {
            Status::Complete => Cancellation::Complete,
            Status::Cancelled => Cancellation::AlreadyCancelled,
            Status::Created | Status::AwaitingPayment => Cancellation::NotYetDue,
        },
    })
}

/// What a refund means for its order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refund {
    Recorded,
    /// By another refund.
    RefundedOtherwise,
    /// Its money must not be given back.
    NotCancelled,
    NoSuchOrder,
}

/// Notes that the money of a cancelled order was given back. Nobody else hears of it, so the version stays.
pub(crate) async fn record_refund(
    tx: &mut Tx<'_>,
    order: OrderId,
    refund: &RefundId,
) -> Result<Refund, sqlx::Error> {
    let recorded = sqlx::query(
        "UPDATE orders SET refund_id = $1 WHERE id = $2 AND status = 'cancelled'
         AND (refund_id IS NULL OR refund_id = $1)",
    )
    .bind(refund.as_str())
    .bind(order.to_string())
    .execute(tx.connection())
    .await?;
    if recorded.rows_affected() > 0 {
        return Ok(Refund::Recorded);
    }
    Ok(match read(tx, order).await? {
        None => Refund::NoSuchOrder,
        Some(Stored { order, .. }) if order.status == Status::Cancelled => {
            Refund::RefundedOtherwise
        }
        Some(_) => Refund::NotCancelled,
    })
}

struct Stored {
    order: Order,
    payment: Option<PaymentId>,
}

/// Reads again, after an update that found no row.
async fn read(tx: &mut Tx<'_>, id: OrderId) -> Result<Option<Stored>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT id, version, status, user_id, ticket_id, price, expires_at, payment_id
         FROM orders WHERE id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    Ok(Some(Stored {
        order: order(&row)?,
        payment: value(&row, "payment_id", |id: Option<&str>| {
            id.map(str::parse).transpose()
        })?,
    }))
}

fn titled(row: &AnyRow) -> Result<Titled, sqlx::Error> {
    Ok(Titled {
        order: order(row)?,
        title: row.try_get("title")?,
    })
}

fn order(row: &AnyRow) -> Result<Order, sqlx::Error> {
    Ok(Order {
        id: text(row, "id")?,
        version: number(row, "version")?,
        status: text(row, "status")?,
        buyer: text(row, "user_id")?,
        ticket: text(row, "ticket_id")?,
        price: number(row, "price")?,
        expires_at: value(row, "expires_at", Timestamp::from_millisecond)?,
    })
}

#[cfg(test)]
mod tests;
