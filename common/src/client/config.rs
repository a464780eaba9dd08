use std::env;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};

use super::credentials::Credentials;

/// Where NATS is, who we are, and how we prove it.
///
/// There is one proof at most: a later one replaces an earlier. Files are read again at every
/// connection, so that renewed ones are found. `Debug` shows no secret.
///
/// ```
/// use common::ClientConfig;
///
/// let config = ClientConfig::new("website")
///     .url("nats://one:4222,nats://two:4222")
///     .credentials_file("/run/secrets/website.creds")
///     .root_certificates("/etc/nats/ca.pem");
/// ```
#[derive(Clone)]
pub struct ClientConfig {
    name: String,
    url: String,
    credentials: Option<Credentials>,
    root_certificates: Option<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
}

impl ClientConfig {
    /// NATS at `nats://127.0.0.1:4222` without credentials, under the name of a service.
    ///
    /// The name is what the server's operator sees, and part of the inbox prefix
    /// (`_INBOX_tickets-service`), so that no other user may read the answers.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: "nats://127.0.0.1:4222".to_owned(),
            credentials: None,
            root_certificates: None,
            certificate: None,
        }
    }

    /// What the environment says, under the name of a service.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `NATS_URL` | servers, separated by commas; default `nats://127.0.0.1:4222` |
    /// | `NATS_CREDS` | path of a credentials file (JWT and seed) |
    /// | `NATS_NKEY` | path of a file with an `NKey` seed |
    /// | `NATS_USER`, `NATS_PASSWORD` | user and password |
    /// | `NATS_TOKEN` | token |
    /// | `NATS_CA` | path of the certificates to trust, PEM |
    /// | `NATS_CERT`, `NATS_KEY` | paths of the client's certificate and key, PEM |
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a variable is no text, or half of a pair is missing, or there are two kinds
    /// of credentials.
    pub fn from_env(name: &str) -> Result<Self, ConfigError> {
        Self::from_variables(name, |variable| match env::var(variable) {
            Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(_)) => Err(ConfigError::NotText { variable }),
        })
    }

    fn from_variables(
        name: &str,
        read: impl Fn(&'static str) -> Result<Option<String>, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::new(name);
        if let Some(url) = read("NATS_URL")? {
            config = config.url(&url);
        }
        let pair = |one, other| match (read(one)?, read(other)?) {
            (Some(a), Some(b)) => Ok(Some((a, b))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(ConfigError::HalfPair {
                given: one,
                missing: other,
            }),
            (None, Some(_)) => Err(ConfigError::HalfPair {
                given: other,
                missing: one,
            }),
        };
        let mut kinds = 0;
        if let Some(path) = read("NATS_CREDS")? {
            config = config.credentials_file(path);
            kinds += 1;
        }
        if let Some(path) = read("NATS_NKEY")? {
            config = config.nkey_file(path);
            kinds += 1;
        }
        if let Some((user, password)) = pair("NATS_USER", "NATS_PASSWORD")? {
            config = config.user(&user, &password);
            kinds += 1;
        }
        if let Some(token) = read("NATS_TOKEN")? {
            config = config.token(&token);
            kinds += 1;
        }
        if kinds > 1 {
            return Err(ConfigError::TwoKinds);
        }
        if let Some(path) = read("NATS_CA")? {
            config = config.root_certificates(path);
        }
        if let Some((certificate, key)) = pair("NATS_CERT", "NATS_KEY")? {
            config = config.client_certificate(certificate, key);
        }
        Ok(config)
    }

    /// The servers, one or several, separated by commas. User and password, or a token, of `nats://user:password@host`
    /// count for all of them unless there is another proof, and go no further: the client would log addresses whole.
    #[must_use]
    pub fn url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.url);
        self
    }

    /// A credentials file: the user's JWT and the seed of its key. Read again at every connection.
    #[must_use]
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials = Some(Credentials::File(path.into()));
        self
    }

    /// A file with the seed of an `NKey`. Read again at every connection.
    #[must_use]
    pub fn nkey_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials = Some(Credentials::NKey(path.into()));
        self
    }

    /// A token.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.credentials = Some(Credentials::Token(token.to_owned()));
        self
    }

    /// The certificates to trust, a PEM file, instead of those that the system trusts; servers without TLS
    /// are refused. Read again at every connection.
    #[must_use]
    pub fn root_certificates(mut self, path: impl Into<PathBuf>) -> Self {
        self.root_certificates = Some(path.into());
        self
    }

    /// The client's certificate and its key, PEM files. Read again at every connection.
    #[must_use]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.certificate = Some((certificate.into(), key.into()));
        self
    }

    /// User and password.
    #[must_use]
    pub fn user(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some(Credentials::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        });
        self
    }

    /// The servers, without credentials.
    pub(super) fn addresses(&self) -> Result<Vec<ServerAddr>, ConfigError> {
        let addresses = self.parsed()?.into_iter();
        Ok(addresses.map(Credentials::taken_out).collect())
    }

    fn parsed(&self) -> Result<Vec<ServerAddr>, ConfigError> {
        let parsed = self.url.split(',').map(|url| {
            url.trim().parse().map_err(|_| ConfigError::Url {
                url: without_secret(url.trim()),
            })
        });
        parsed.collect()
    }

    fn proof(&self) -> Result<Option<Credentials>, ConfigError> {
        if self.credentials.is_some() {
            return Ok(self.credentials.clone());
        }
        Ok(self.parsed()?.iter().find_map(Credentials::in_address))
    }

    /// The servers as they may be shown.
    pub(super) fn servers(&self) -> String {
        let shown: Vec<_> = self
            .url
            .split(',')
            .map(|url| without_secret(url.trim()))
            .collect();
        shown.join(", ")
    }

    pub(super) fn options(&self) -> Result<ConnectOptions, ConfigError> {
        let mut options = match self.proof()? {
            None => ConnectOptions::new(),
            Some(credentials) => {
                // Read once now, so that a wrong path is said at the start.
                credentials.check()?;
                ConnectOptions::with_auth_callback(move |nonce| {
                    std::future::ready(credentials.prove(&nonce))
                })
            }
        };
        if let Some(path) = &self.root_certificates {
            options = options
                .add_root_certificates(path.clone())
                .require_tls(true);
        }
        if let Some((cert, key)) = &self.certificate {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        Ok(options
            .name(&self.name)
            .custom_inbox_prefix(inbox_prefix(&self.name))
            // A dead link is found after two missed answers: within 45 s.
            .ping_interval(Duration::from_secs(15))
            .connection_timeout(Duration::from_secs(5)))
    }
}

/// Where a client of this name hears answers: the name as part of one token of a subject.
pub(crate) fn inbox_prefix(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).collect();
    format!("_INBOX_{name}")
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("name", &self.name)
            .field("servers", &self.servers())
            .finish_non_exhaustive()
    }
}

/// Leaves out user and password of `nats://user:password@host`.
fn without_secret(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => url.to_owned(),
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A variable is not UTF-8.
    #[error("{variable} is not UTF-8")]
    NotText {
        /// The variable.
        variable: &'static str,
    },
    /// One of two variables that belong together is missing.
    #[error("{given} is set, and {missing} is not")]
    HalfPair {
        /// What is there.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// There are several ways to prove who we are.
    #[error("set only one of NATS_CREDS, NATS_NKEY, NATS_USER and NATS_TOKEN")]
    TwoKinds,
    /// An address cannot be read.
    #[error("`{url}` is no address of a NATS server, such as nats://127.0.0.1:4222")]
    Url {
        /// The address, without a password.
        url: String,
    },
    /// A file of credentials cannot be read.
    #[error("credentials file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of credentials has no usable seed.
    #[error("credentials file {} has no NKey seed", path.display())]
    NoSeed {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<ClientConfig, ConfigError> {
        ClientConfig::from_variables("test", |name| {
            Ok(variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn half_of_a_pair_is_said() {
        let err = read(&[("NATS_USER", "alice")]).unwrap_err();
        assert_eq!(
            err.to_string(),
            "NATS_USER is set, and NATS_PASSWORD is not"
        );
    }

    #[test]
    fn two_kinds_of_credentials_are_refused() {
        let err = read(&[("NATS_TOKEN", "t"), ("NATS_CREDS", "/c")]).unwrap_err();
        assert!(matches!(err, ConfigError::TwoKinds));
    }

    /// What the server is told, by a builder and by the variables that stand for it.
    #[track_caller]
    fn check(built: &ClientConfig, variables: &[(&str, &str)], told: &async_nats::Auth) {
        for config in [built, &read(variables).unwrap()] {
            let proof = config.credentials.as_ref().unwrap().prove(b"nonce");
            let proof = proof.unwrap();
            assert_eq!(proof.jwt, told.jwt);
            assert_eq!(proof.nkey, told.nkey);
            assert_eq!(proof.signature, told.signature);
            assert_eq!(proof.username, told.username);
            assert_eq!(proof.password, told.password);
            assert_eq!(proof.token, told.token);
        }
    }

    #[test]
    fn builders_and_variables_prove_the_same() {
        let new = || ClientConfig::new("test");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let file = path.to_str().unwrap();
        let keys = nkeys::KeyPair::new_user();
        let told = |jwt: Option<&str>, nkey| {
            let mut auth = async_nats::Auth::new();
            auth.jwt = jwt.map(str::to_owned);
            auth.nkey = nkey;
            auth.signature = Some(keys.sign(b"nonce").unwrap());
            auth
        };

        let seed = keys.seed().unwrap();
        std::fs::write(&path, &seed).unwrap();
        let nkey = told(None, Some(keys.public_key()));
        check(&new().nkey_file(&path), &[("NATS_NKEY", file)], &nkey);

        let creds = format!(
            "-----BEGIN NATS USER JWT-----\ney\n------END NATS USER JWT------\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        std::fs::write(&path, creds).unwrap();
        let jwt = told(Some("ey"), None);
        check(
            &new().credentials_file(&path),
            &[("NATS_CREDS", file)],
            &jwt,
        );

        let mut token = async_nats::Auth::new();
        token.token = Some("t".to_owned());
        check(&new().token("t"), &[("NATS_TOKEN", "t")], &token);

        let mut user = async_nats::Auth::new();
        (user.username, user.password) = (Some("u".to_owned()), Some("p".to_owned()));
        let variables = [("NATS_USER", "u"), ("NATS_PASSWORD", "p")];
        check(&new().token("t").user("u", "p"), &variables, &user);
    }

    #[test]
    fn builders_and_variables_trust_the_same() {
        let built = ClientConfig::new("test")
            .root_certificates("ca.pem")
            .client_certificate("cert.pem", "key.pem");
        let variables = [
            ("NATS_CA", "ca.pem"),
            ("NATS_CERT", "cert.pem"),
            ("NATS_KEY", "key.pem"),
        ];
        for config in [built, read(&variables).unwrap()] {
            assert_eq!(config.root_certificates, Some("ca.pem".into()));
            let certificate = ("cert.pem".into(), "key.pem".into());
            assert_eq!(config.certificate, Some(certificate));
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let config = read(&[
            ("NATS_URL", "nats://bob:hunter2@h:4222,nats://h2"),
            ("NATS_USER", "alice"),
            ("NATS_PASSWORD", "hunter3"),
        ])
        .unwrap();
        let shown = format!("{config:?}");
        assert!(shown.contains("nats://h:4222, nats://h2"), "{shown}");
        assert!(!shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn several_servers_are_read() {
        let config = ClientConfig::new("test").url("nats://a:1, nats://b:2");
        assert_eq!(config.addresses().unwrap().len(), 2);
        assert!(
            ClientConfig::new("test")
                .url("http://[")
                .addresses()
                .is_err()
        );
    }

    #[test]
    fn name_is_one_token_of_the_inbox() {
        assert_eq!(inbox_prefix("a b.c*>"), "_INBOX_a-b-c--");
    }
}
