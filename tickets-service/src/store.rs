//! What this service remembers. Every function that changes something takes the transaction, and
//! locks the ticket's row first: of two replicas one waits for the other.
//!
//! Columns are named in every statement: PostgreSQL refuses a prepared `SELECT *` once the migration of
//! a newer replica has added a column.

use common::columns::{number, text};
use common::events::{OrderId, TicketId, UserId};
use common::http::Page;
use common::{Database, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::ticket::{Offer, SoldToAnother, State, Ticket};

pub(crate) const MIGRATIONS: &[&str] = &[include_str!("../migrations/0001_tickets.sql")];

/// Puts a ticket on sale.
pub(crate) async fn insert(tx: &mut Tx<'_>, ticket: &Ticket) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO tickets (id, version, title, price, user_id, status, order_id)
         VALUES ($1, $2, $3, $4, $5, $6, NULL)",
    )
    .bind(ticket.id.to_string())
    .bind(ticket.version.to_sql())
    .bind(ticket.title.as_str())
    .bind(ticket.price.to_sql())
    .bind(ticket.seller.as_str())
    .bind(status(ticket.state))
    .execute(tx.connection())
    .await?;
    Ok(())
}

pub(crate) async fn find(database: &Database, id: TicketId) -> Result<Option<Ticket>, sqlx::Error> {
    sqlx::query(
        "SELECT id, version, title, price, user_id, status, order_id
         FROM tickets WHERE id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(database.reader())
    .await?
    .as_ref()
    .map(ticket)
    .transpose()
}

/// Tickets that can be ordered, oldest first.
pub(crate) async fn for_sale(
    database: &Database,
    page: Page<TicketId>,
) -> Result<Vec<Ticket>, sqlx::Error> {
    sqlx::query(
        "SELECT id, version, title, price, user_id, status, order_id
         FROM tickets WHERE status = 'for sale' AND id > $1 ORDER BY id LIMIT $2",
    )
    .bind(page.after.map_or_else(String::new, |id| id.to_string()))
    .bind(page.limit.to_sql())
    .fetch_all(database.reader())
    .await?
    .iter()
    .map(ticket)
    .collect()
}

/// What became of a seller's wish to change a ticket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Revision {
    Revised(Ticket),
    NoSuchTicket,
    NotTheSeller,
    NotForSale,
}

/// Changes a ticket that is the seller's and for sale.
pub(crate) async fn revise(
    tx: &mut Tx<'_>,
    id: TicketId,
    seller: &UserId,
    offer: &Offer,
) -> Result<Revision, sqlx::Error> {
    let revised = sqlx::query(
        "UPDATE tickets SET title = $1, price = $2, version = version + 1
         WHERE id = $3 AND user_id = $4 AND status = 'for sale'
         RETURNING id, version, title, price, user_id, status, order_id",
    )
    .bind(offer.title.as_str())
    .bind(offer.price.to_sql())
    .bind(id.to_string())
    .bind(seller.as_str())
    .fetch_optional(tx.connection())
    .await?;
    if let Some(row) = revised {
        return ticket(&row).map(Revision::Revised);
    }
    Ok(match lock(tx, id).await? {
        None => Revision::NoSuchTicket,
        Some(ticket) if ticket.seller != *seller => Revision::NotTheSeller,
        Some(_) => Revision::NotForSale,
    })
}

/// What an order's event means for its ticket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Another order holds the ticket now, or none: the others must hear of it.
    OfHolder(Ticket),
    /// Nothing that the others can see.
    Unseen,
    NoSuchTicket,
    SoldToAnother(SoldToAnother),
}

/// Adds an order to those that ask for the ticket.
pub(crate) async fn reserve(
    tx: &mut Tx<'_>,
    ticket: TicketId,
    order: OrderId,
) -> Result<Change, sqlx::Error> {
    let Some(ticket) = lock(tx, ticket).await? else {
        return Ok(Change::NoSuchTicket);
    };
    sqlx::query(
        "INSERT INTO reservations (order_id, ticket_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(order.to_string())
    .bind(ticket.id.to_string())
    .execute(tx.connection())
    .await?;
    let standing = standing(tx, ticket.id).await?;
    let next = ticket.state.given(&standing);
    advance(tx, ticket, next).await
}

/// Removes an order from those that ask for the ticket.
pub(crate) async fn release(
    tx: &mut Tx<'_>,
    ticket: TicketId,
    order: OrderId,
) -> Result<Change, sqlx::Error> {
    let Some(ticket) = lock(tx, ticket).await? else {
        return Ok(Change::NoSuchTicket);
    };
    sqlx::query("DELETE FROM reservations WHERE order_id = $1 AND ticket_id = $2")
        .bind(order.to_string())
        .bind(ticket.id.to_string())
        .execute(tx.connection())
        .await?;
    let standing = standing(tx, ticket.id).await?;
    let next = ticket.state.given(&standing);
    advance(tx, ticket, next).await
}

/// Marks the ticket sold for an order that was paid.
pub(crate) async fn sell(
    tx: &mut Tx<'_>,
    ticket: TicketId,
    order: OrderId,
) -> Result<Change, sqlx::Error> {
    let Some(ticket) = lock(tx, ticket).await? else {
        return Ok(Change::NoSuchTicket);
    };
    match ticket.state.completed(order) {
        Ok(next) => advance(tx, ticket, next).await,
        Err(sold) => Ok(Change::SoldToAnother(sold)),
    }
}

/// Reads the ticket and keeps other transactions from changing it. An update, because SQLite knows no `FOR UPDATE`.
async fn lock(tx: &mut Tx<'_>, id: TicketId) -> Result<Option<Ticket>, sqlx::Error> {
    sqlx::query(
        "UPDATE tickets SET version = version WHERE id = $1
         RETURNING id, version, title, price, user_id, status, order_id",
    )
    .bind(id.to_string())
    .fetch_optional(tx.connection())
    .await?
    .as_ref()
    .map(ticket)
    .transpose()
}

/// The orders that ask for the ticket.
async fn standing(tx: &mut Tx<'_>, ticket: TicketId) -> Result<Vec<OrderId>, sqlx::Error> {
    sqlx::query("SELECT order_id FROM reservations WHERE ticket_id = $1")
        .bind(ticket.to_string())
        .fetch_all(tx.connection())
        .await?
        .iter()
        .map(|row| text(row, "order_id"))
        .collect()
}

/// Brings the locked ticket to its next state. Only a change of holder is published, and raises the version.
async fn advance(tx: &mut Tx<'_>, ticket: Ticket, next: State) -> Result<Change, sqlx::Error> {
    if next == ticket.state {
        return Ok(Change::Unseen);
    }
    let is_published = next.holder() != ticket.state.holder();
    let version = if is_published {
        ticket.version.next()
    } else {
        ticket.version
    };
    sqlx::query("UPDATE tickets SET status = $1, order_id = $2, version = $3 WHERE id = $4")
        .bind(status(next))
        .bind(next.holder().map(|order| order.to_string()))
        .bind(version.to_sql())
        .bind(ticket.id.to_string())
        .execute(tx.connection())
        .await?;
    Ok(if is_published {
        Change::OfHolder(Ticket {
            version,
            state: next,
            ..ticket
        })
    } else {
        Change::Unseen
    })
}

fn status(state: State) -> &'static str {
    match state {
        State::ForSale => "for sale",
        State::Reserved(_) => "reserved",
        State::Sold(_) => "sold",
    }
}

fn ticket(row: &AnyRow) -> Result<Ticket, sqlx::Error> {
    Ok(Ticket {
        id: text(row, "id")?,
        version: number(row, "version")?,
        title: text(row, "title")?,
        price: number(row, "price")?,
        seller: text(row, "user_id")?,
        state: state(row)?,
    })
}

fn state(row: &AnyRow) -> Result<State, sqlx::Error> {
    match row.try_get::<&str, _>("status")? {
        "reserved" => Ok(State::Reserved(text(row, "order_id")?)),
        "sold" => Ok(State::Sold(text(row, "order_id")?)),
        _ => Ok(State::ForSale),
    }
}

#[cfg(test)]
mod tests;
