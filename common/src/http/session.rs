use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};

use super::{ApiError, JwtKey};
use crate::events::UserId;

/// The cookie that carries a token where no header does.
const COOKIE_NAME: &str = "session";

/// The user who sends the request: by a token in `Authorization: Bearer`, or else in the cookie `session`.
///
/// The router's state yields the [`JwtKey`] (`FromRef`). Without a valid token the answer is 401.
#[derive(Debug, Clone)]
pub struct SignedIn(pub UserId);

impl<S> FromRequestParts<S> for SignedIn
where
    JwtKey: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers)
            .or_else(|| cookie(&parts.headers))
            .ok_or(ApiError::NotSignedIn)?;
        JwtKey::from_ref(state)
            .verify(token)
            .map(Self)
            .map_err(|reason| {
                tracing::debug!(%reason, "token refused");
                ApiError::NotSignedIn
            })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers.get(AUTHORIZATION)?)?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("Bearer")
        .then_some(token.trim_ascii())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(text)
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.split_once('='))
        .find(|(name, _)| name.trim_ascii() == COOKIE_NAME)
        .map(|(_, value)| value.trim_ascii())
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &'static str)], expected: Option<&str>) {
        let mut map = HeaderMap::new();
        for &(name, value) in headers {
            map.append(name, HeaderValue::from_static(value));
        }
        assert_eq!(bearer(&map).or_else(|| cookie(&map)), expected);
    }

    #[test]
    fn token_is_found_in_header_or_cookie() {
        check(&[("authorization", "Bearer t")], Some("t"));
        check(&[("authorization", "bearer  t ")], Some("t"));
        check(&[("cookie", "theme=dark; session=t")], Some("t"));
        check(&[("cookie", "a=b"), ("cookie", "session=t")], Some("t"));
        check(
            &[("authorization", "Bearer t"), ("cookie", "session=u")],
            Some("t"),
        );
        check(
            &[("authorization", "Basic t"), ("cookie", "session=u")],
            Some("u"),
        );
    }

    #[test]
    fn request_without_a_token_has_none() {
        check(&[], None);
        check(&[("authorization", "Bearer")], None);
        check(&[("authorization", "Basic t")], None);
        check(&[("cookie", "session")], None);
        check(&[("cookie", "mysession=t")], None);
    }
}
