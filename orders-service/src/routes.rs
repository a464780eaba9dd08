use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use common::events::{Cents, ExpirationComplete, OrderCreated, OrderId, TicketId, UserId};
use common::http::{ApiError, JsonBody, JwtKey, Page, PathId, SignedIn};
use common::{Database, Publisher as _, Version};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Serialize};

use crate::cancellation::cancel;
use crate::config::OrderTtl;
use crate::order::{Order, Status};
use crate::store::{self, Cancellation, Offer, Placement, Reason, Titled};

/// The routes of the service.
pub(crate) fn router(database: &Database, jwt_key: &JwtKey, order_ttl: OrderTtl) -> Router {
    Router::new()
        .route("/api/orders", get(list).post(create))
        .route("/api/orders/{id}", get(show).delete(give_up))
        .with_state(App {
            database: database.clone(),
            jwt_key: jwt_key.clone(),
            order_ttl,
        })
}

#[derive(Clone)]
struct App {
    database: Database,
    jwt_key: JwtKey,
    order_ttl: OrderTtl,
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

impl FromRef<App> for OrderTtl {
    fn from_ref(app: &App) -> Self {
        app.order_ttl
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wish {
    ticket_id: TicketId,
}

/// `POST /api/orders`: orders a ticket that nobody has ordered, at the price of this moment.
async fn create(
    State(database): State<Database>,
    State(ttl): State<OrderTtl>,
    SignedIn(buyer): SignedIn,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = database.begin().await?;
    let (title, price) = match store::offer(&mut tx, wish.ticket_id).await? {
        Offer::ForSale { title, price } => (title, price),
        Offer::Reserved => return Err(TAKEN),
        Offer::NoSuchTicket => return Err(ApiError::NotFound { what: "ticket" }),
    };
    let order = Order {
        id: OrderId::new(),
        version: Version::FIRST,
        status: Status::Created,
        buyer,
        ticket: wish.ticket_id,
        price,
        expires_at: to_millisecond(ttl.from(Timestamp::now())),
    };
    match store::place(&mut tx, &order).await? {
        Placement::Placed => (),
        Placement::Taken => return Err(TAKEN),
    }
    tx.publish(&OrderCreated::from(&order)).await?;
    let expiration = ExpirationComplete { order_id: order.id };
    tx.publish_at(&expiration, to_second(order.expires_at))
        .await?;
    tx.commit().await?;

    let location = format!("/api/orders/{}", order.id);
    let body = Json(OrderBody::from(Titled { order, title }));
    Ok((StatusCode::CREATED, [(LOCATION, location)], body))
}

const TAKEN: ApiError = ApiError::Conflict {
    message: "ticket is reserved or sold",
};

/// What the database keeps, so that an order has one expiry and not two.
fn to_millisecond(moment: Timestamp) -> Timestamp {
    let round = TimestampRound::new()
        .smallest(Unit::Millisecond)
        .mode(RoundMode::Trunc);
    moment.round(round).unwrap_or(moment)
}

/// Schedules fire by the second: a moment early is not due, and would be left to the sweep.
fn to_second(moment: Timestamp) -> Timestamp {
    let round = TimestampRound::new()
        .smallest(Unit::Second)
        .mode(RoundMode::Ceil);
    moment.round(round).unwrap_or(moment)
}

/// `GET /api/orders`: a page of one's own orders, oldest first.
async fn list(
    State(database): State<Database>,
    SignedIn(buyer): SignedIn,
    page: Page<OrderId>,
) -> Result<impl IntoResponse, ApiError> {
    let orders = store::of_buyer(&database, &buyer, page).await?;
    let body: Vec<_> = orders.into_iter().map(OrderBody::from).collect();
    Ok(Json(body))
}

/// `GET /api/orders/{id}`: one of one's own orders.
async fn show(
    State(database): State<Database>,
    SignedIn(buyer): SignedIn,
    PathId(id): PathId<OrderId>,
) -> Result<impl IntoResponse, ApiError> {
    let order = find_own(&database, id, &buyer).await?;
    Ok(Json(OrderBody::from(order)))
}

/// `DELETE /api/orders/{id}`: gives up one of one's own orders, unless it is paid.
async fn give_up(
    State(database): State<Database>,
    SignedIn(buyer): SignedIn,
    PathId(id): PathId<OrderId>,
) -> Result<impl IntoResponse, ApiError> {
    find_own(&database, id, &buyer).await?;

    let mut tx = database.begin().await?;
    match cancel(&mut tx, id, Reason::GivenUp).await? {
        Cancellation::Cancelled(_) => tx.commit().await?,
        Cancellation::AlreadyCancelled => (),
        Cancellation::Complete => {
            return Err(ApiError::Conflict {
                message: "order is complete",
            });
        }
        Cancellation::NotYetDue => {
            return Err(ApiError::Internal("giving up has no due time".into()));
        }
        Cancellation::NoSuchOrder => return Err(ApiError::NotFound { what: "order" }),
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Buyers never change, so this holds in a later transaction too.
async fn find_own(database: &Database, id: OrderId, buyer: &UserId) -> Result<Titled, ApiError> {
    match store::find(database, id).await? {
        None => Err(ApiError::NotFound { what: "order" }),
        Some(found) if found.order.buyer != *buyer => Err(ApiError::NotYours),
        Some(found) => Ok(found),
    }
}

/// An order as its buyer sees it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderBody {
    id: OrderId,
    version: Version,
    status: &'static str,
    /// The buyer.
    user_id: UserId,
    expires_at: Timestamp,
    ticket: TicketBody,
}

#[derive(Serialize)]
struct TicketBody {
    id: TicketId,
    title: String,
    /// Minor units, as it was when the ticket was ordered.
    price: Cents,
}

impl From<Titled> for OrderBody {
    fn from(Titled { order, title }: Titled) -> Self {
        Self {
            id: order.id,
            version: order.version,
            status: order.status.as_str(),
            user_id: order.buyer,
            expires_at: order.expires_at,
            ticket: TicketBody {
                id: order.ticket,
                title,
                price: order.price,
            },
        }
    }
}

#[cfg(test)]
mod tests;
