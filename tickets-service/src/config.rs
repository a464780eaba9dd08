use clap::Parser;
use common::TICKETS_SERVICE;
use common::http::{ArgsError, ServiceArgs, ServiceConfig, VARIABLES};

/// What tickets-service is configured by.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every service is configured by.
    pub service: ServiceConfig,
}

/// Sells tickets: puts them on sale, and reserves each for the order that came first.
#[derive(Debug, Parser)]
#[command(name = TICKETS_SERVICE.as_str(), version, after_help = VARIABLES)]
#[command(mut_arg("http_addr", |arg| arg.required(false).default_value("127.0.0.1:3001")))]
#[command(mut_arg("database_url", |arg| arg.required(false).default_value("sqlite://data/tickets-service.db")))]
struct Args {
    #[command(flatten)]
    service: ServiceArgs,
}

impl Config {
    /// Reads the arguments and the environment. If they are not usable, says how and ends the process (exit code 2).
    ///
    /// # Errors
    ///
    /// [`ArgsError`] if they are usable, but not together or not for what they are for.
    pub fn from_args() -> Result<Self, ArgsError> {
        let args = Args::parse();
        Ok(Self {
            service: args.service.into_config(TICKETS_SERVICE)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn help_names_every_variable() {
        let help = Args::command().render_long_help().to_string();
        for variable in [
            "HTTP_ADDR",
            "127.0.0.1:3001",
            "DATABASE_URL",
            "sqlite://data/tickets-service.db",
            "NATS_URL",
            "NATS_CREDS",
            "JWT_KEY",
            "PROVISION",
            "REPLICAS",
            "RUST_LOG",
        ] {
            assert!(help.contains(variable), "{variable} is missing in\n{help}");
        }
    }

    #[test]
    fn key_alone_is_enough() {
        Args::command().debug_assert();
        let key = "k".repeat(32);
        let args = Args::try_parse_from(["tickets-service", "--jwt-key", &key]).unwrap();
        let config = args.service.into_config(TICKETS_SERVICE).unwrap();
        assert_eq!(config.http_addr.port(), 3001);
    }
}
