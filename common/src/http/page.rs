use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;

use super::ApiError;

/// One page of a list that is sorted by id: `?after=<id>&limit=<1 to 100, else 50>`.
///
/// The next page is the one after the last id of this one; a page with fewer items than its limit is
/// the last. 400 if a parameter is not acceptable.
#[derive(Debug, Clone, Copy)]
pub struct Page<T> {
    /// The id after which the page begins; `None` is the beginning of the list.
    pub after: Option<T>,
    /// The most items there may be.
    pub limit: Limit,
}

/// How many items a page has at most: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u8);

impl Limit {
    /// The limit as a database's BIGINT holds it.
    #[must_use]
    pub fn to_sql(self) -> i64 {
        i64::from(self.0)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

#[derive(Deserialize)]
struct Parameters {
    after: Option<String>,
    limit: Option<String>,
}

impl<T: FromStr<Err: Display>, S: Send + Sync> FromRequestParts<S> for Page<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(parameters) = Query::<Parameters>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
        let after = parameters
            .after
            .map(|text| text.parse::<T>())
            .transpose()
            .map_err(|err| ApiError::invalid("after", err.to_string()))?;
        let limit = parameters.limit.map(|text| limit(&text)).transpose()?;
        Ok(Self {
            after,
            limit: limit.unwrap_or_default(),
        })
    }
}

fn limit(text: &str) -> Result<Limit, ApiError> {
    match text.parse() {
        Ok(number @ 1..=100) => Ok(Limit(number)),
        _ => Err(ApiError::invalid("limit", "must be a number from 1 to 100")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;
    use crate::events::TicketId;

    async fn page(query: &str) -> Result<Page<TicketId>, ApiError> {
        let request = Request::get(format!("/{query}")).body(()).unwrap();
        Page::from_request_parts(&mut request.into_parts().0, &()).await
    }

    #[tokio::test]
    async fn page_has_a_default_and_bounds() {
        assert_eq!(page("").await.unwrap().limit, Limit(50));
        assert_eq!(page("?limit=1").await.unwrap().limit, Limit(1));
        assert_eq!(page("?limit=100").await.unwrap().limit, Limit(100));
        for query in [
            "?limit=0",
            "?limit=101",
            "?limit=-1",
            "?limit=",
            "?limit=x",
            "?limit=1&limit=2",
            "?limit=99999999999999999999",
            "?after=1",
            "?after=",
            "?after=%FF",
        ] {
            assert!(page(query).await.is_err(), "{query}");
        }
    }

    #[tokio::test]
    async fn page_begins_after_an_id() {
        let id = TicketId::new();
        let page = page(&format!("?after={id}")).await.unwrap();
        assert_eq!(page.after, Some(id));
    }
}
