use common::Tx;
use common::columns::{number, text};
use common::events::OrderId;
use sqlx::any::AnyRow;

use super::moment;
use crate::order::{Order, OrderStatus};

/// What became of an order that was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    New,
    AlreadyThere,
}

/// Adds an order.
pub(crate) async fn add(tx: &mut Tx<'_>, order: &Order) -> Result<Added, sqlx::Error> {
    let added = sqlx::query(
        "INSERT INTO orders (id, user_id, ticket_id, price, expires_at, status)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
    )
    .bind(order.id.to_string())
    .bind(order.buyer.as_str())
    .bind(order.ticket.to_string())
    .bind(order.price.to_sql())
    .bind(order.expires_at.as_microsecond())
    .bind(order.status.as_str())
    .execute(tx.connection())
    .await?
    .rows_affected();
    Ok(if added == 0 {
        Added::AlreadyThere
    } else {
        Added::New
    })
}

/// Reads an order, and keeps everybody else from changing it or its payment until the transaction ends.
pub(crate) async fn lock(tx: &mut Tx<'_>, id: OrderId) -> Result<Option<Order>, sqlx::Error> {
    // An update locks the row in both databases; what is read afterwards is what was committed last.
    sqlx::query("UPDATE orders SET id = id WHERE id = $1")
        .bind(id.to_string())
        .execute(tx.connection())
        .await?;
    sqlx::query(
        "SELECT id, user_id, ticket_id, price, expires_at, status FROM orders WHERE id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(tx.connection())
    .await?
    .as_ref()
    .map(read)
    .transpose()
}

/// What became of an order's move to its last status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    Now,
    AlreadySo,
    /// It has already ended the other way.
    Otherwise(OrderStatus),
    /// Nobody has told of the order.
    Unknown,
}

/// Moves an open order to `status`, and leaves its row locked.
pub(crate) async fn close(
    tx: &mut Tx<'_>,
    id: OrderId,
    status: OrderStatus,
) -> Result<Closed, sqlx::Error> {
    let closed = sqlx::query("UPDATE orders SET status = $2 WHERE id = $1 AND status = $3")
        .bind(id.to_string())
        .bind(status.as_str())
        .bind(OrderStatus::Open.as_str())
        .execute(tx.connection())
        .await?
        .rows_affected();
    if closed > 0 {
        return Ok(Closed::Now);
    }
    Ok(match lock(tx, id).await? {
        Some(order) if order.status == status => Closed::AlreadySo,
        Some(order) => Closed::Otherwise(order.status),
        None => Closed::Unknown,
    })
}

fn read(row: &AnyRow) -> Result<Order, sqlx::Error> {
    Ok(Order {
        id: text(row, "id")?,
        buyer: text(row, "user_id")?,
        ticket: text(row, "ticket_id")?,
        price: number(row, "price")?,
        expires_at: moment(row, "expires_at")?,
        status: text(row, "status")?,
    })
}
