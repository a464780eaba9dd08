use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::Sha256;

use crate::events::UserId;

/// RFC 7518, section 3.2: a key of the size of the hash or larger must be used.
const SHORTEST_KEY: usize = 32;

/// The only header there is to write: the algorithm is pinned.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// The key that signs and verifies tokens: JWT (RFC 7519) with HS256 and no other algorithm.
///
/// The crate `jsonwebtoken` comes without RSA or C code only if the process installs a cryptography of
/// its own before the first token is read, which a library cannot see to. HS256 alone is this file.
///
/// ```
/// use std::time::Duration;
///
/// use common::http::JwtKey;
///
/// let key = JwtKey::new("a key of at least thirty-two bytes")?;
/// let alice = "alice".parse()?;
/// let token = key.mint(&alice, Duration::from_secs(3600));
/// assert_eq!(key.verify(&token)?, alice);
/// # Ok::<_, common::BoxError>(())
/// ```
#[derive(Clone)]
pub struct JwtKey {
    mac: Hmac<Sha256>,
}

impl JwtKey {
    /// A key of this text.
    ///
    /// # Errors
    ///
    /// [`InvalidJwtKey`] if it has fewer than 32 bytes.
    pub fn new(text: &str) -> Result<Self, InvalidJwtKey> {
        if text.len() < SHORTEST_KEY {
            return Err(InvalidJwtKey { bytes: text.len() });
        }
        Hmac::new_from_slice(text.as_bytes())
            .map(|mac| Self { mac })
            .map_err(|_| InvalidJwtKey { bytes: text.len() })
    }

    /// A token that says who the user is, for so long. A time that no calendar has becomes the last one that it has.
    #[must_use]
    pub fn mint(&self, user: &UserId, ttl: Duration) -> String {
        let now = Timestamp::now();
        let expires = now.checked_add(ttl).unwrap_or(Timestamp::MAX);
        let claims = serde_json::json!({
            "sub": user,
            "iat": now.as_second(),
            "exp": expires.as_second(),
        });
        self.sign(HEADER, &claims.to_string())
    }

    /// The user whom the token names.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] if it is no token, is not signed by this key with HS256, has expired, is not valid yet or names nobody.
    pub fn verify(&self, token: &str) -> Result<UserId, InvalidToken> {
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidToken::Malformed);
        };
        if !decode::<Header>(header)?.is_ours() {
            return Err(InvalidToken::Algorithm);
        }

        let signed = &token[..header.len() + 1 + claims.len()];
        let signature = BASE64_URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| InvalidToken::Malformed)?;
        self.mac
            .clone()
            .chain_update(signed)
            .verify_slice(&signature)
            .map_err(|_| InvalidToken::Signature)?;

        decode::<Claims>(claims)?.at(Timestamp::now())
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let mut token = BASE64_URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.mac.clone().chain_update(&token).finalize();
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature.into_bytes(), &mut token);
        token
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwtKey(..)")
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that must be understood. None is.
    crit: Option<serde::de::IgnoredAny>,
}

impl Header {
    fn is_ours(&self) -> bool {
        self.alg == "HS256" && self.crit.is_none()
    }
}

/// Times are numbers of seconds, fractions allowed (RFC 7519, section 2).
#[derive(Deserialize)]
struct Claims {
    sub: UserId,
    exp: f64,
    nbf: Option<f64>,
}

impl Claims {
    fn at(self, now: Timestamp) -> Result<UserId, InvalidToken> {
        let now = now.as_duration().as_secs_f64();
        if self.exp <= now {
            return Err(InvalidToken::Expired);
        }
        if self.nbf.is_some_and(|nbf| now < nbf) {
            return Err(InvalidToken::NotYetValid);
        }
        Ok(self.sub)
    }
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, InvalidToken> {
    let json = BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| InvalidToken::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| InvalidToken::Malformed)
}

/// The text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key has {bytes} bytes: HS256 needs at least 32 (RFC 7518)")]
pub struct InvalidJwtKey {
    bytes: usize,
}

/// Why a token proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// It does not have the form of a token, or lacks a claim that it must have: `sub` or `exp`.
    #[error("token is malformed")]
    Malformed,
    /// It is not signed with HS256, or has extensions that must be understood.
    #[error("token is not signed with HS256")]
    Algorithm,
    /// It is signed with another key, or was changed.
    #[error("signature is not of this key")]
    Signature,
    /// Its time is over.
    #[error("token has expired")]
    Expired,
    /// Its time has not begun.
    #[error("token is not valid yet")]
    NotYetValid,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: i64 = 32_503_680_000;

    fn key() -> JwtKey {
        JwtKey::new(&"k".repeat(SHORTEST_KEY)).unwrap()
    }

    #[track_caller]
    fn check(header: &str, claims: &str, expected: Result<&str, InvalidToken>) {
        let token = key().sign(header, claims);
        let verified = key().verify(&token);
        assert_eq!(
            verified,
            expected.map(|user| user.parse().unwrap()),
            "{claims}"
        );
    }

    #[test]
    fn minted_token_names_its_user() {
        let alice: UserId = "alice".parse().unwrap();
        let token = key().mint(&alice, Duration::from_mins(1));
        assert_eq!(key().verify(&token), Ok(alice));
    }

    #[test]
    fn token_of_another_implementation_is_read() {
        // {"typ":"JWT","alg":"HS256","kid":"1"} and {"iss":"joe","exp":32503680000.5,"sub":"alice","admin":true},
        // signed by `openssl dgst -sha256 -hmac`.
        let token = concat!(
            "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ.",
            "eyJpc3MiOiJqb2UiLCJleHAiOjMyNTAzNjgwMDAwLjUsInN1YiI6ImFsaWNlIiwiYWRtaW4iOnRydWV9.",
            "65RUF1fhaJ4g6ydQj1_wCtYIzti2F0xP_LzEjetliss",
        );
        assert_eq!(key().verify(token), Ok("alice".parse().unwrap()));
    }

    #[test]
    fn algorithm_is_pinned() {
        let claims = format!(r#"{{"sub":"alice","exp":{FAR}}}"#);
        for alg in ["none", "None", "hs256", "HS384", "RS256", ""] {
            check(
                &format!(r#"{{"alg":"{alg}"}}"#),
                &claims,
                Err(InvalidToken::Algorithm),
            );
        }
        check("{}", &claims, Err(InvalidToken::Malformed));
        check(
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
            &claims,
            Err(InvalidToken::Algorithm),
        );
    }

    #[test]
    fn time_and_subject_are_required() {
        check(
            HEADER,
            r#"{"sub":"alice","exp":1}"#,
            Err(InvalidToken::Expired),
        );
        check(
            HEADER,
            &format!(r#"{{"sub":"alice","exp":{FAR},"nbf":{FAR}}}"#),
            Err(InvalidToken::NotYetValid),
        );
        for claims in [
            r#"{"sub":"alice"}"#.to_owned(),
            format!(r#"{{"exp":{FAR}}}"#),
            format!(r#"{{"sub":"","exp":{FAR}}}"#),
            format!(r#"{{"sub":7,"exp":{FAR}}}"#),
            format!(r#"{{"sub":"alice","exp":"{FAR}"}}"#),
            "{".to_owned(),
        ] {
            check(HEADER, &claims, Err(InvalidToken::Malformed));
        }
    }

    #[test]
    fn unsigned_changed_or_foreign_token_is_refused() {
        let alice: UserId = "alice".parse().unwrap();
        let token = key().mint(&alice, Duration::from_mins(1));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let other = JwtKey::new(&"o".repeat(SHORTEST_KEY)).unwrap();

        assert_eq!(other.verify(&token), Err(InvalidToken::Signature));
        for unsigned in [format!("{signed}."), format!("{signed}.{}", "A".repeat(43))] {
            assert_eq!(key().verify(&unsigned), Err(InvalidToken::Signature));
        }
        let mallory = key().mint(&"mallory".parse().unwrap(), Duration::from_mins(1));
        let (mallory, _) = mallory.rsplit_once('.').unwrap();
        let swapped = format!("{mallory}.{signature}");
        assert_eq!(key().verify(&swapped), Err(InvalidToken::Signature));
        for text in [
            "",
            ".",
            "..",
            "a.b.c",
            signed,
            &format!("{token}.x"),
            "é.é.é",
        ] {
            assert_eq!(key().verify(text), Err(InvalidToken::Malformed), "{text}");
        }
    }

    #[test]
    fn token_that_is_minted_for_ever_or_for_no_time_is_no_panic() {
        let alice: UserId = "alice".parse().unwrap();
        let endless = key().mint(&alice, Duration::MAX);
        assert_eq!(key().verify(&endless), Ok(alice.clone()));
        let over = key().mint(&alice, Duration::ZERO);
        assert_eq!(key().verify(&over), Err(InvalidToken::Expired));
    }

    #[test]
    fn short_key_is_refused_and_no_key_is_shown() {
        let err = JwtKey::new("secret").unwrap_err();
        assert!(!err.to_string().contains("secret"));
        assert_eq!(format!("{:?}", key()), "JwtKey(..)");
    }
}
