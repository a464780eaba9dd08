use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// Who answers for the accounts and users of a server: an operator with one account, in the JWT form of NATS.
#[derive(Debug)]
pub struct Operator {
    keys: KeyPair,
    account: KeyPair,
    system: KeyPair,
}

impl Operator {
    /// An operator with fresh keys.
    #[must_use]
    pub fn new() -> Self {
        Self {
            keys: KeyPair::new_operator(),
            account: KeyPair::new_account(),
            system: KeyPair::new_account(),
        }
    }

    /// What a server is told that trusts the operator.
    #[must_use]
    pub fn config(&self) -> String {
        let Self {
            keys,
            account,
            system,
        } = self;
        let unlimited = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
            "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
        });
        let without_streams = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        });
        let itself = signed(
            keys,
            &keys.public_key(),
            &json!({ "type": "operator" }),
            None,
        );
        let account_jwt = |account: &KeyPair, limits: &Value| {
            let claims = json!({ "type": "account", "limits": limits });
            signed(keys, &account.public_key(), &claims, None)
        };
        format!(
            "operator: {itself}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n  {}: {}\n  {}: {}\n}}\n",
            system.public_key(),
            account.public_key(),
            account_jwt(account, &unlimited),
            system.public_key(),
            account_jwt(system, &without_streams),
        )
    }

    /// A credentials file of a new user, good for so long.
    ///
    /// # Panics
    ///
    /// Never: a new key has a seed.
    #[must_use]
    pub fn credentials(&self, good_for: Duration) -> String {
        let user = KeyPair::new_user();
        let claims = json!({
            "type": "user", "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
        });
        let jwt = signed(&self.account, &user.public_key(), &claims, Some(good_for));
        let seed = user.seed().unwrap();
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

impl Default for Operator {
    fn default() -> Self {
        Self::new()
    }
}

/// A claim about `subject`, under the issuer's signature.
fn signed(issuer: &KeyPair, subject: &str, nats: &Value, good_for: Option<Duration>) -> String {
    let now = Timestamp::now();
    let mut nats = nats.clone();
    nats["version"] = json!(2);
    let mut claims = json!({
        "jti": subject, "iat": now.as_second(), "iss": issuer.public_key(), "name": "test", "sub": subject, "nats": nats,
    });
    if let Some(good_for) = good_for {
        claims["exp"] = json!((now + good_for).as_second());
    }
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let head = encoded(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let body = format!("{head}.{}", encoded(&claims));
    let signature = issuer.sign(body.as_bytes()).unwrap();
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature))
}
