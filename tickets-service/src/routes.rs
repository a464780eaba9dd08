use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use common::events::{Cents, OrderId, TicketCreated, TicketId, TicketUpdated, Title, UserId};
use common::http::{ApiError, JsonBody, JwtKey, Page, PathId, SignedIn};
use common::{Database, Publisher as _, Version};
use serde::Serialize;

use crate::store::{self, Revision};
use crate::ticket::{self, Offer, Ticket};

/// The routes of the service.
pub(crate) fn router(database: &Database, jwt_key: &JwtKey) -> Router {
    Router::new()
        .route("/api/tickets", get(list).post(create))
        .route("/api/tickets/{id}", get(show).put(update))
        .with_state(App {
            database: database.clone(),
            jwt_key: jwt_key.clone(),
        })
}

#[derive(Clone)]
struct App {
    database: Database,
    jwt_key: JwtKey,
}

impl FromRef<App> for Database {
    fn from_ref(app: &App) -> Self {
        app.database.clone()
    }
}

impl FromRef<App> for JwtKey {
    fn from_ref(app: &App) -> Self {
        app.jwt_key.clone()
    }
}

/// `POST /api/tickets`: puts a ticket on sale.
async fn create(
    State(database): State<Database>,
    SignedIn(seller): SignedIn,
    JsonBody(offer): JsonBody<Offer>,
) -> Result<impl IntoResponse, ApiError> {
    let ticket = Ticket::new(offer, seller);

    let mut tx = database.begin().await?;
    store::insert(&mut tx, &ticket).await?;
    tx.publish(&TicketCreated::from(&ticket)).await?;
    tx.commit().await?;

    let location = format!("/api/tickets/{}", ticket.id);
    let body = Json(TicketBody::from(ticket));
    Ok((StatusCode::CREATED, [(LOCATION, location)], body))
}

/// `GET /api/tickets`: a page of the tickets for sale, oldest first.
async fn list(
    State(database): State<Database>,
    page: Page<TicketId>,
) -> Result<impl IntoResponse, ApiError> {
    let tickets = store::for_sale(&database, page).await?;
    let body: Vec<_> = tickets.into_iter().map(TicketBody::from).collect();
    Ok(Json(body))
}

/// `GET /api/tickets/{id}`: one ticket, for sale or not.
async fn show(
    State(database): State<Database>,
    PathId(id): PathId<TicketId>,
) -> Result<impl IntoResponse, ApiError> {
    match store::find(&database, id).await? {
        Some(ticket) => Ok(Json(TicketBody::from(ticket))),
        None => Err(ApiError::NotFound { what: "ticket" }),
    }
}

/// `PUT /api/tickets/{id}`: changes title and price of a ticket that nobody has ordered.
async fn update(
    State(database): State<Database>,
    SignedIn(seller): SignedIn,
    PathId(id): PathId<TicketId>,
    JsonBody(offer): JsonBody<Offer>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = database.begin().await?;
    match store::revise(&mut tx, id, &seller, &offer).await? {
        Revision::Revised(ticket) => {
            tx.publish(&TicketUpdated::from(&ticket)).await?;
            tx.commit().await?;
            Ok(Json(TicketBody::from(ticket)))
        }
        Revision::NoSuchTicket => Err(ApiError::NotFound { what: "ticket" }),
        Revision::NotTheSeller => Err(ApiError::NotYours),
        Revision::NotForSale => Err(ApiError::Conflict {
            message: "ticket is reserved or sold",
        }),
    }
}

/// A ticket as clients see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TicketBody {
    id: TicketId,
    version: Version,
    title: Title,
    /// Minor units.
    price: Cents,
    /// The seller.
    user_id: UserId,
    status: Status,
    /// The order that has reserved or bought the ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderId>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    #[serde(rename = "for sale")]
    ForSale,
    Reserved,
    Sold,
}

impl From<Ticket> for TicketBody {
    fn from(ticket: Ticket) -> Self {
        Self {
            id: ticket.id,
            version: ticket.version,
            title: ticket.title,
            price: ticket.price,
            user_id: ticket.seller,
            status: match ticket.state {
                ticket::State::ForSale => Status::ForSale,
                ticket::State::Reserved(_) => Status::Reserved,
                ticket::State::Sold(_) => Status::Sold,
            },
            order_id: ticket.state.holder(),
        }
    }
}

#[cfg(test)]
mod tests;
