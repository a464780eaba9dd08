use std::error::Error;

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::{BoxError, Chain};
use crate::failure::{Failure, FailureKind};

/// Why a request is refused, as `{"errors":[{"message":"…","field":"…"?}]}` under the status that says so.
///
/// Every error becomes one by `?`: 503 if a database says that it is out of reach, else 500. Both are
/// logged here, and neither tells the client what is behind it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApiError {
    /// 400: the request is malformed, or a value in it is not acceptable.
    Invalid {
        /// The field, parameter or path segment that is to blame; `None` if the request as a whole is.
        field: Option<String>,
        /// What is wrong with it.
        message: String,
    },
    /// 401: there is no valid token.
    NotSignedIn,
    /// 402: the payment was declined.
    PaymentRequired {
        /// Why.
        message: String,
    },
    /// 403: it belongs to somebody else.
    NotYours,
    /// 404: there is no such thing.
    NotFound {
        /// What there is none of: "ticket", "route".
        what: &'static str,
    },
    /// 405: the route has no such method.
    WrongMethod,
    /// 408: the request did not arrive in time.
    TooSlow,
    /// 409: it cannot be done in the state that things are in.
    Conflict {
        /// What stands in the way.
        message: &'static str,
    },
    /// 413: the body is larger than any that is read.
    TooLarge {
        /// The most there may be, in bytes.
        limit: usize,
    },
    /// 415: the body is not declared to be JSON. It has to be: a form of another site cannot say so.
    NotJson,
    /// 500: a bug, or something that nobody foresaw.
    Internal(BoxError),
    /// 503: the database or the broker is out of reach. The request may succeed later.
    Unavailable(BoxError),
}

impl ApiError {
    /// 400, for a value of one field.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid {
            field: Some(field.to_owned()),
            message: message.into(),
        }
    }

    /// 400, for the request as a whole.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::Invalid {
            field: None,
            message: message.into(),
        }
    }

    /// The status that is answered.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } => StatusCode::BAD_REQUEST,
            Self::NotSignedIn => StatusCode::UNAUTHORIZED,
            Self::PaymentRequired { .. } => StatusCode::PAYMENT_REQUIRED,
            Self::NotYours => StatusCode::FORBIDDEN,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Invalid { message, .. } | Self::PaymentRequired { message } => message.clone(),
            Self::NotSignedIn => "not signed in".to_owned(),
            Self::NotYours => "not yours".to_owned(),
            Self::NotFound { what } => format!("no such {what}"),
            Self::WrongMethod => "method not allowed here".to_owned(),
            Self::TooSlow => "request did not arrive in time".to_owned(),
            Self::Conflict { message } => (*message).to_owned(),
            Self::TooLarge { limit } => format!("body is larger than {limit} bytes"),
            Self::NotJson => "content-type must be application/json".to_owned(),
            Self::Internal(_) => "internal error".to_owned(),
            Self::Unavailable(_) => "temporarily unavailable, try again".to_owned(),
        }
    }

    fn log(&self) {
        match self {
            Self::Internal(err) => tracing::error!(error = %Chain(&**err), "request failed"),
            Self::Unavailable(err) => tracing::warn!(error = %Chain(&**err), "request put off"),
            _ => (),
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for ApiError {
    fn from(err: E) -> Self {
        let failure = Failure::from(err);
        match failure.kind() {
            FailureKind::Unavailable => Self::Unavailable(failure.into_source()),
            FailureKind::Retry | FailureKind::Reject => Self::Internal(failure.into_source()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let status = self.status();
        let message = self.message();
        let field = match self {
            Self::Invalid { field, .. } => field,
            _ => None,
        };
        let body = Json(Errors {
            errors: [Item { message, field }],
        });

        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A list, because that is what clients of this form of error body read.
#[derive(Serialize)]
struct Errors {
    errors: [Item; 1],
}

#[derive(Serialize)]
struct Item {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_foresaw_is_500_without_internals() {
        let err = ApiError::from(std::io::Error::other("disk on fire"));
        assert_eq!(err.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!err.message().contains("fire"));
    }

    #[test]
    fn refusal_says_how_to_sign_in() {
        let response = ApiError::NotSignedIn.into_response();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }
}
