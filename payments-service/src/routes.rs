use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use common::events::{OrderId, PaymentId};
use common::http::{ApiError, JsonBody, JwtKey, SignedIn};
use serde::{Deserialize, Serialize};

use crate::cashier::{Cashier, PayError};
use crate::gateway::{PaymentGateway, Token};

/// The routes of the service.
pub fn router<G: PaymentGateway>(cashier: &Cashier<G>, jwt_key: &JwtKey) -> Router {
    Router::new()
        .route("/api/payments", post(pay::<G>))
        .with_state(App {
            cashier: cashier.clone(),
            jwt_key: jwt_key.clone(),
        })
}

struct App<G> {
    cashier: Cashier<G>,
    jwt_key: JwtKey,
}

impl<G> Clone for App<G> {
    fn clone(&self) -> Self {
        Self {
            cashier: self.cashier.clone(),
            jwt_key: self.jwt_key.clone(),
        }
    }
}

impl<G> FromRef<App<G>> for JwtKey {
    fn from_ref(app: &App<G>) -> Self {
        app.jwt_key.clone()
    }
}

/// `POST /api/payments`: pays for an order.
///
/// A client that goes away drops this; the worker finishes what was begun.
async fn pay<G: PaymentGateway>(
    State(app): State<App<G>>,
    SignedIn(user): SignedIn,
    JsonBody(body): JsonBody<PayBody>,
) -> Result<impl IntoResponse, ApiError> {
    let id = app
        .cashier
        .pay(&user, body.order_id, body.token)
        .await
        .map_err(refusal)?;
    Ok((StatusCode::CREATED, Json(PaidBody { id })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayBody {
    token: Token,
    order_id: OrderId,
}

#[derive(Serialize)]
struct PaidBody {
    id: PaymentId,
}

/// What a client is told. After 503 it may try again: while the outcome is not known it is refused
/// by 409, and it is never charged twice.
fn refusal(err: PayError) -> ApiError {
    let conflict = |message| ApiError::Conflict { message };
    match err {
        PayError::UnknownOrder => ApiError::NotFound { what: "order" },
        PayError::NotYours => ApiError::NotYours,
        PayError::Cancelled => conflict("order is cancelled"),
        PayError::Expired => conflict("order has expired"),
        PayError::AlreadyPaid => conflict("order is already paid"),
        PayError::BeingCharged => conflict("order is being charged"),
        PayError::CancelledMeanwhile => {
            conflict("order was cancelled while it was charged, and the charge is given back")
        }
        PayError::Declined => ApiError::PaymentRequired {
            message: "card was declined".to_owned(),
        },
        PayError::Contradicted => ApiError::Internal(err.into()),
        PayError::OutcomeUnknown(_) => ApiError::Unavailable(err.into()),
        PayError::Store(source) => source.into(),
    }
}
