use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroUsize;
use std::str::FromStr;

use clap::ValueEnum;

use super::values::parse_replicas;
use super::{InvalidJwtKey, JwtKey};
use crate::client::{ClientConfig, ConfigError};
use crate::name::QueueGroup;
use crate::topology::Provisioning;

/// Two texts share these lines, and constants cannot be joined.
macro_rules! variables {
    ($($first:literal)?) => {
        concat!(
            "Variables without a flag:\n",
            $($first, "\n",)?
            "  NATS_CREDS                credentials file\n",
            "  NATS_NKEY                 file with the seed of an NKey\n",
            "  NATS_USER, NATS_PASSWORD  user and password\n",
            "  NATS_TOKEN                token\n",
            "  NATS_CA                   certificate authority to trust, a PEM file\n",
            "  NATS_CERT, NATS_KEY       client certificate and its key, PEM files",
        )
    };
}

/// The rest of `--help` of a program that logs: the variables that have no flag.
pub const VARIABLES: &str = variables!(
    "  RUST_LOG                  what is logged to standard error, as `level` or `target=level,..` [default: info]"
);

/// The rest of `--help` of a program that only connects to NATS: the variables that have no flag.
pub const NATS_VARIABLES: &str = variables!();

/// The flags and variables that every service has. Flatten it into the service's own; the address and the
/// database have no default here, because each service has its own.
#[derive(clap::Args)]
pub struct ServiceArgs {
    /// Address to listen on; port 0 picks one. The address is printed once it is listened on.
    #[arg(long, env, value_name = "HOST:PORT")]
    pub http_addr: Address,

    /// Database: `sqlite://path/to/file.db` (created if missing) or `postgres://user:password@host/database`.
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    pub database_url: String,

    /// NATS servers, one or several, separated by commas. [default: `nats://127.0.0.1:4222`]
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    pub nats_url: Option<String>,

    /// Key that verifies the tokens of users (HS256): at least 32 bytes, the same for every service.
    /// Prefer the variable: other users of the machine can read arguments.
    // The name of the value is that of the variable, which clap does not name when it is missing.
    #[arg(long, env, value_name = "JWT_KEY", hide_env_values = true)]
    pub jwt_key: String,

    /// Whether streams and consumers that are missing are created at the start.
    #[arg(long, env, default_value = "off")]
    pub provision: Provision,

    /// Servers that store each stream, where streams are created.
    #[arg(long, env, value_name = "NUMBER", default_value = "1", value_parser = parse_replicas)]
    pub replicas: NonZeroUsize,
}

/// The flags `--provision off` and `--provision create`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Provision {
    /// Nothing is created; what is missing stops the start
    Off,
    /// What is missing is created
    Create,
}

/// An address, or the name of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl FromStr for Address {
    type Err = std::io::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut found = text.to_socket_addrs()?;
        found
            .next()
            .map(Self)
            .ok_or_else(|| std::io::Error::other("name has no address"))
    }
}

/// What every service is configured by.
#[derive(Clone)]
pub struct ServiceConfig {
    /// Where to listen. Port 0 picks one.
    pub http_addr: SocketAddr,
    /// Where the database is.
    pub database_url: String,
    /// Where NATS is, and who we are.
    pub nats: ClientConfig,
    /// What verifies the tokens of users.
    pub jwt_key: JwtKey,
    /// Whether streams and consumers that are missing are created at the start.
    pub provisioning: Provisioning,
}

impl ServiceArgs {
    /// The configuration that these, and the variables of the connection to NATS, make.
    ///
    /// # Errors
    ///
    /// [`ArgsError`] if the key is too short or a variable of the connection cannot be read.
    pub fn into_config(self, service: QueueGroup) -> Result<ServiceConfig, ArgsError> {
        let mut nats = ClientConfig::from_env(service.as_str()).map_err(ArgsError::Nats)?;
        if let Some(url) = self.nats_url.filter(|url| !url.is_empty()) {
            nats = nats.url(&url);
        }
        Ok(ServiceConfig {
            http_addr: self.http_addr.0,
            database_url: self.database_url,
            nats,
            jwt_key: JwtKey::new(&self.jwt_key).map_err(ArgsError::JwtKey)?,
            provisioning: match self.provision {
                Provision::Off => Provisioning::BindOnly,
                Provision::Create => Provisioning::Create {
                    replicas: self.replicas,
                },
            },
        })
    }
}

impl fmt::Debug for ServiceArgs {
    /// Without the key, and without the addresses that may contain passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceArgs")
            .field("http_addr", &self.http_addr)
            .field("provision", &self.provision)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServiceConfig {
    /// Without the address of the database, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfig")
            .field("http_addr", &self.http_addr)
            .field("nats", &self.nats)
            .field("provisioning", &self.provisioning)
            .finish_non_exhaustive()
    }
}

/// Why a service cannot be configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// The key verifies nothing.
    #[error("JWT_KEY is not usable")]
    JwtKey(#[source] InvalidJwtKey),
    /// What is known of NATS is not usable.
    #[error("configuration of NATS is not usable")]
    Nats(#[source] ConfigError),
    /// An argument has no default beside the others.
    #[error("{argument} is needed: {reason}")]
    Missing {
        /// The flag and its variable.
        argument: &'static str,
        /// Why, and what to say in it.
        reason: &'static str,
    },
}
