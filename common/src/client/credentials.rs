use std::fs;
use std::path::{Path, PathBuf};

use async_nats::{Auth, AuthError, ServerAddr};
use nkeys::KeyPair;
use percent_encoding::percent_decode_str;

use super::config::ConfigError;

/// How a user proves who it is. Files are read at each proof, so that rotated ones are found.
#[derive(Clone)]
pub(super) enum Credentials {
    File(PathBuf),
    NKey(PathBuf),
    Password { user: String, password: String },
    Token(String),
}

impl Credentials {
    /// Those of `nats://user:password@host` or `nats://token@host`.
    pub(super) fn in_address(address: &ServerAddr) -> Option<Self> {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = decoded(address.username()?);
        Some(match address.password() {
            Some(password) => Self::Password {
                user,
                password: decoded(password),
            },
            None => Self::Token(user),
        })
    }

    /// The address without any.
    pub(super) fn taken_out(address: ServerAddr) -> ServerAddr {
        let mut bare = address.clone().into_inner();
        // An address that cannot have credentials has none, and is as it was.
        if bare.set_username("").is_err() || bare.set_password(None).is_err() {
            return address;
        }
        ServerAddr::from_url(bare).unwrap_or(address)
    }

    /// Whether they can be read now.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::File(path) | Self::NKey(path) => read_seed(path).map(|_| ()),
            Self::Password { .. } | Self::Token(_) => Ok(()),
        }
    }

    /// What the server is told in answer to its nonce.
    pub(super) fn prove(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let mut auth = Auth::new();
        match self {
            Self::File(path) => {
                let (file, keys) = read_seed(path).map_err(AuthError::new)?;
                auth.jwt = section(&file, "NATS USER JWT").map(str::to_owned);
                auth.signature = Some(keys.sign(nonce).map_err(AuthError::new)?);
            }
            Self::NKey(path) => {
                let (_, keys) = read_seed(path).map_err(AuthError::new)?;
                auth.nkey = Some(keys.public_key());
                auth.signature = Some(keys.sign(nonce).map_err(AuthError::new)?);
            }
            Self::Password { user, password } => {
                auth.username = Some(user.clone());
                auth.password = Some(password.clone());
            }
            Self::Token(token) => auth.token = Some(token.clone()),
        }
        Ok(auth)
    }
}

/// Reads a file that is a seed, or has one in a section.
fn read_seed(path: &Path) -> Result<(String, KeyPair), ConfigError> {
    let file = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let seed = section(&file, "USER NKEY SEED").unwrap_or(file.trim());
    let keys = KeyPair::from_seed(seed).map_err(|_| ConfigError::NoSeed {
        path: path.to_owned(),
    })?;
    Ok((file, keys))
}

/// The line after `-----BEGIN <name>-----`.
fn section<'f>(file: &'f str, name: &str) -> Option<&'f str> {
    let mut lines = file.lines().map(str::trim);
    lines.find(|line| {
        line.trim_matches('-')
            .strip_prefix("BEGIN ")
            .is_some_and(|found| found == name)
    })?;
    lines.find(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_a_credentials_file_are_found() {
        let file = "-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------\n\n\
                    ************************* IMPORTANT *************************\n\
                    -----BEGIN USER NKEY SEED-----\nSUAB\n------END USER NKEY SEED------\n";
        assert_eq!(section(file, "NATS USER JWT"), Some("eyJ0"));
        assert_eq!(section(file, "USER NKEY SEED"), Some("SUAB"));
        assert_eq!(section(file, "OTHER"), None);
    }

    #[test]
    fn credentials_in_an_address_are_taken_out_of_it() {
        let told = |address: &str| {
            let address: ServerAddr = address.parse().unwrap();
            let proof = Credentials::in_address(&address).map(|credentials| {
                let proof = credentials.prove(b"1").unwrap();
                (proof.username, proof.password, proof.token)
            });
            (
                proof,
                Credentials::taken_out(address).into_inner().to_string(),
            )
        };
        let some = |text: &str| Some(text.to_owned());

        let (proof, left) = told("nats://u:p%40ss@one:4222");
        assert_eq!(proof, Some((some("u"), some("p@ss"), None)));
        assert_eq!(left, "nats://one:4222");
        let (proof, left) = told("tls://secret@two");
        assert_eq!(proof, Some((None, None, some("secret"))));
        assert_eq!(left, "tls://two");
        assert_eq!(
            told("nats://three:4222"),
            (None, "nats://three:4222".to_owned())
        );
    }

    #[test]
    fn file_is_read_again_at_each_proof() {
        let path = std::env::temp_dir().join(format!("seed-{}", uuid::Uuid::now_v7()));
        let (old, new) = (KeyPair::new_user(), KeyPair::new_user());
        let credentials = Credentials::NKey(path.clone());

        fs::write(&path, old.seed().unwrap()).unwrap();
        assert_eq!(
            credentials.prove(b"1").unwrap().nkey,
            Some(old.public_key())
        );
        fs::write(&path, new.seed().unwrap()).unwrap();
        assert_eq!(
            credentials.prove(b"1").unwrap().nkey,
            Some(new.public_key())
        );

        fs::remove_file(path).unwrap();
        assert!(credentials.check().is_err());
    }
}
