use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::ApiError;

/// The largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// How much more is read and thrown away, so that a client that is still sending hears why it is
/// refused instead of a broken connection.
const MAX_DISCARDED_BYTES: usize = 32 * 1024 * 1024;

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// A body of JSON: an object, declared as `application/json`, of at most [`MAX_BODY_BYTES`].
///
/// 400 if it is malformed, has a wrong type or lacks a field, and says which; 413 if it is too
/// large; 415 if it is not declared as JSON.
#[derive(Debug, Clone)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::NotJson);
        }
        let body = timeout(BODY_DEADLINE, read(request.into_body()))
            .await
            .map_err(|_| ApiError::TooSlow)??;
        decode(&body).map(Self)
    }
}

/// The id in the path's one parameter. 400 if the text is none.
#[derive(Debug, Clone, Copy)]
pub struct PathId<T>(pub T);

impl<T: FromStr<Err: Display>, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::invalid("id", rejection.body_text()))?;
        text.parse()
            .map(Self)
            .map_err(|err| ApiError::invalid("id", err.to_string()))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or(value).trim_ascii());
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut read = Vec::new();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ApiError::malformed("body broke off"))?;
        length += chunk.len();
        if length <= MAX_BODY_BYTES {
            read.extend_from_slice(&chunk);
        } else if length > MAX_DISCARDED_BYTES {
            break;
        }
    }
    if length > MAX_BODY_BYTES {
        return Err(ApiError::TooLarge {
            limit: MAX_BODY_BYTES,
        });
    }
    Ok(read)
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // A struct would also be read from an array, by the order of its fields.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::malformed("body must be a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|err| {
        let field = field(&err);
        let message = err.into_inner().to_string();
        ApiError::Invalid { field, message }
    })?;
    reader
        .end()
        .map_err(|err| ApiError::malformed(err.to_string()))?;
    Ok(value)
}

/// The field that is to blame: the one that was being read, or the one that is missing.
fn field(err: &serde_path_to_error::Error<serde_json::Error>) -> Option<String> {
    if !err.inner().is_data() {
        return None;
    }
    let message = err.inner().to_string();
    let missing = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    let path: Vec<_> = err
        .path()
        .iter()
        .map(ToString::to_string)
        .chain(missing.map(ToOwned::to_owned))
        .collect();
    (!path.is_empty()).then(|| path.join("."))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::events::Cents;

    #[derive(Debug, Deserialize)]
    struct Wish {
        price: Cents,
        #[serde(default)]
        extra: Option<Box<Wish>>,
    }

    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        match decode::<Wish>(body.as_bytes()) {
            Err(ApiError::Invalid { field, .. }) => {
                assert_eq!(field.as_deref(), expected, "{body}");
            }
            other => panic!("{body} gave {other:?}"),
        }
    }

    #[test]
    fn refusal_names_the_field() {
        check("{}", Some("price"));
        for price in ["0", "-1", "2.5", "null", r#""5""#, "[]", "1e400"] {
            check(
                &format!(r#"{{"price":{price}}}"#),
                Some("price").filter(|_| price != "1e400"),
            );
        }
        check(r#"{"price":1,"price":2}"#, None);
        check(r#"{"price":1,"extra":{}}"#, Some("extra.price"));
    }

    #[test]
    fn what_is_no_object_is_refused_as_a_whole() {
        for body in [
            "", " ", "{", "[1]", "[1,null]", "1", "null", r#""x""#, "{}}", "\u{0}",
        ] {
            let expected = if body == "{}}" { Some("price") } else { None };
            check(body, expected);
        }
        check(r#"{"price":1} {"price":1}"#, None);
        check(&r#"{"extra":"#.repeat(1000), None);
        assert!(decode::<Wish>(b"{\"price\":\"\xff\"}").is_err());
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let wish: Wish = decode(br#" {"price":1,"colour":"red"} "#).unwrap();
        assert_eq!(wish.price.get(), 1);
        assert!(wish.extra.is_none());
    }
}
