use std::fs;
use std::path::{Path, PathBuf};

use async_nats::{Auth, AuthError};
use nkeys::KeyPair;

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
