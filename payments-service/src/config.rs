use std::time::Duration;

use clap::{Parser, ValueEnum};
use common::PAYMENTS_SERVICE;
use common::http::{
    ArgsError, ServiceArgs, ServiceConfig, VARIABLES, parse_duration, parse_time_limit,
};

/// What payments-service is configured by.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every service is configured by.
    pub service: ServiceConfig,
    /// Who takes the money.
    pub gateway: GatewayConfig,
    /// How long the gateway may take to answer. A request that finds no answer within it is told that the
    /// outcome is unknown, and the worker begins to ask for it.
    pub gateway_timeout: Duration,
}

/// Who takes the money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayConfig {
    /// Nobody: test tokens decide, and a ledger remembers.
    Sandbox {
        /// The ledger, the same for every replica: `sqlite://path/to/file.db`.
        ledger: String,
        /// How long a request is under way before it is carried out.
        latency: Duration,
    },
}

/// Takes the money for orders, and gives it back when they are cancelled.
#[derive(Debug, Parser)]
#[command(name = PAYMENTS_SERVICE.as_str(), version, after_help = VARIABLES)]
#[command(mut_arg("http_addr", |arg| arg.required(false).default_value("127.0.0.1:3003")))]
#[command(mut_arg("database_url", |arg| arg.required(false).default_value("sqlite://data/payments-service.db")))]
struct Args {
    #[command(flatten)]
    service: ServiceArgs,

    /// Who takes the money.
    #[arg(long, env, value_name = "NAME", default_value = "sandbox")]
    payment_gateway: Gateway,

    /// How long the gateway may take to answer, as `10s` or `500ms`.
    #[arg(long, env, value_name = "DURATION", default_value = "10s", value_parser = parse_time_limit)]
    gateway_timeout: Duration,

    /// The sandbox's ledger, the same for every replica: `sqlite://path/to/file.db` (created if
    /// missing). [default: `sandbox-gateway.db`, beside the database if that is a file, else in `data`]
    #[arg(long, env, value_name = "URL")]
    gateway_ledger: Option<String>,

    /// How long a request to the sandbox is under way before it is carried out.
    #[arg(long, env, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    sandbox_latency: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Gateway {
    /// Nobody: test tokens decide (`tok_visa`, `tok_chargeDeclined`, `tok_timeout`, `tok_lost`), and a ledger remembers
    Sandbox,
}

impl Config {
    /// Reads the arguments and the environment. If they are not usable, says how and ends the process (exit code 2).
    ///
    /// # Errors
    ///
    /// [`ArgsError`] if they are usable, but not together or not for what they are for.
    pub fn from_args() -> Result<Self, ArgsError> {
        Args::parse().into_config()
    }
}

impl Args {
    fn into_config(self) -> Result<Config, ArgsError> {
        let service = self.service.into_config(PAYMENTS_SERVICE)?;
        let gateway = match self.payment_gateway {
            Gateway::Sandbox => GatewayConfig::Sandbox {
                ledger: self
                    .gateway_ledger
                    .unwrap_or_else(|| ledger_beside(&service.database_url)),
                latency: self.sandbox_latency,
            },
        };
        Ok(Config {
            service,
            gateway,
            gateway_timeout: self.gateway_timeout,
        })
    }
}

/// Where the sandbox's ledger is if nobody says: in the folder of the database, else in `data`.
fn ledger_beside(database_url: &str) -> String {
    let file = "sandbox-gateway.db";
    let Some(database) = database_url.strip_prefix("sqlite://") else {
        return format!("sqlite://data/{file}");
    };
    let path = database.split('?').next().unwrap_or(database);
    match path.rsplit_once('/') {
        Some((folder, _)) => format!("sqlite://{folder}/{file}"),
        None => format!("sqlite://{file}"),
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
            "127.0.0.1:3003",
            "DATABASE_URL",
            "sqlite://data/payments-service.db",
            "NATS_URL",
            "NATS_CREDS",
            "JWT_KEY",
            "PROVISION",
            "REPLICAS",
            "RUST_LOG",
            "PAYMENT_GATEWAY",
            "GATEWAY_TIMEOUT",
            "GATEWAY_LEDGER",
            "SANDBOX_LATENCY",
        ] {
            assert!(help.contains(variable), "{variable} is missing in\n{help}");
        }
    }

    #[test]
    fn key_alone_is_enough() {
        Args::command().debug_assert();
        let key = "k".repeat(32);
        let args = Args::try_parse_from(["payments-service", "--jwt-key", &key]).unwrap();
        let config = args.into_config().unwrap();
        assert_eq!(config.service.http_addr.port(), 3003);
        assert_eq!(config.gateway_timeout, Duration::from_secs(10));
        assert_eq!(
            config.gateway,
            GatewayConfig::Sandbox {
                ledger: "sqlite://data/sandbox-gateway.db".to_owned(),
                latency: Duration::ZERO,
            }
        );
    }

    #[test]
    fn ledger_lies_beside_the_database() {
        #[track_caller]
        fn check(database: &str, ledger: &str) {
            assert_eq!(ledger_beside(database), ledger);
        }
        check(
            "sqlite:///var/lib/p.db",
            "sqlite:///var/lib/sandbox-gateway.db",
        );
        check("sqlite:///p.db?mode=rwc", "sqlite:///sandbox-gateway.db");
        check("sqlite://p.db", "sqlite://sandbox-gateway.db");
        check("postgres://u:p@host/db", "sqlite://data/sandbox-gateway.db");
    }

    #[test]
    fn unusable_durations_are_refused() {
        let key = "k".repeat(32);
        for timeout in ["0s", "-1s", "soon", ""] {
            let timeout = format!("--gateway-timeout={timeout}");
            let args = ["payments-service", "--jwt-key", &key, &timeout];
            assert!(Args::try_parse_from(args).is_err(), "{timeout}");
        }
    }
}
