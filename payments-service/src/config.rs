use std::time::Duration;

use clap::{Parser, ValueEnum};
use common::PAYMENTS_SERVICE;
use common::http::{
    ArgsError, DRAIN_DEADLINE, InvalidDuration, ServiceArgs, ServiceConfig, VARIABLES,
    parse_duration, parse_time_limit,
};

use crate::gateway::file_named;

/// What payments-service is configured by.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every service is configured by.
    pub service: ServiceConfig,
    /// Who takes the money.
    pub gateway: GatewayConfig,
    /// How long the gateway may take to answer. A request that finds no answer within it is told that the
    /// outcome is unknown, and the worker begins to ask for it. A request that is under way at the stop is
    /// answered if this is less than [`DRAIN_DEADLINE`].
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

    /// How long the gateway may take to answer, as `8s` or `500ms`: 1ms to 9s, so that a request that has
    /// begun is answered before the service stops.
    #[arg(long, env, value_name = "DURATION", default_value = "8s", value_parser = gateway_timeout)]
    gateway_timeout: Duration,

    /// The sandbox's ledger, the same for every replica: `sqlite://path/to/file.db` (created if
    /// missing). Required if the database is no file. [default: `sandbox-gateway.db` beside the database]
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
                ledger: match self.gateway_ledger {
                    Some(ledger) => ledger,
                    None => ledger_beside(&service.database_url).ok_or(NO_LEDGER)?,
                },
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

/// Leaves a second of the drain for the books.
const LONGEST_TIMEOUT: Duration = DRAIN_DEADLINE.saturating_sub(Duration::from_secs(1));

/// Two replicas with a ledger each would have two banks, and charge one order twice.
const NO_LEDGER: ArgsError = ArgsError::Missing {
    argument: "--gateway-ledger (GATEWAY_LEDGER)",
    reason: "the database is no file that the sandbox's ledger could lie beside; \
             name a file that every replica shares, as sqlite:///path/to/sandbox-gateway.db",
};

/// Where the sandbox's ledger is if nobody says: in the folder of the database. `None`: that is no file.
fn ledger_beside(database_url: &str) -> Option<String> {
    let file = "sandbox-gateway.db";
    Some(match file_named(database_url)?.rsplit_once('/') {
        Some((folder, _)) => format!("sqlite://{folder}/{file}"),
        None => format!("sqlite://{file}"),
    })
}

fn gateway_timeout(text: &str) -> Result<Duration, InvalidDuration> {
    let timeout = parse_time_limit(text)?;
    if timeout > LONGEST_TIMEOUT {
        return Err(InvalidDuration::TooLong {
            longest: LONGEST_TIMEOUT,
        });
    }
    Ok(timeout)
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
        assert_eq!(config.gateway_timeout, Duration::from_secs(8));
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
            assert_eq!(ledger_beside(database).as_deref(), Some(ledger));
        }
        check(
            "sqlite:///var/lib/p.db",
            "sqlite:///var/lib/sandbox-gateway.db",
        );
        check(
            "sqlite:/var/lib/p.db",
            "sqlite:///var/lib/sandbox-gateway.db",
        );
        check("sqlite:data/p.db", "sqlite://data/sandbox-gateway.db");
        check("sqlite:p.db", "sqlite://sandbox-gateway.db");
        check("sqlite:///p.db?mode=rwc", "sqlite:///sandbox-gateway.db");
        check("sqlite://p.db", "sqlite://sandbox-gateway.db");
    }

    #[test]
    fn database_that_is_no_file_needs_a_ledger_named() {
        let key = "k".repeat(32);
        let postgres = "--database-url=postgres://u:hunter2@host/db";
        let args = ["payments-service", "--jwt-key", &key, postgres];

        let alone = Args::try_parse_from(args).unwrap().into_config();
        let ledger = "--gateway-ledger=sqlite:///shared/bank.db";
        let named = Args::try_parse_from(args.into_iter().chain([ledger])).unwrap();

        let said = alone.unwrap_err().to_string();
        assert!(said.contains("--gateway-ledger"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        let GatewayConfig::Sandbox { ledger, .. } = named.into_config().unwrap().gateway;
        assert_eq!(ledger, "sqlite:///shared/bank.db");
        for memory in ["sqlite::memory:", "sqlite://", "sqlite:a?mode=memory"] {
            assert_eq!(ledger_beside(memory), None, "{memory}");
        }
    }

    #[test]
    fn gateway_timeout_is_over_before_the_drain() {
        #[track_caller]
        fn check(timeout: &str, accepted: Option<Duration>) {
            let key = "k".repeat(32);
            let timeout = format!("--gateway-timeout={timeout}");
            let args = ["payments-service", "--jwt-key", &key, &timeout];
            let parsed = Args::try_parse_from(args).ok();
            assert_eq!(parsed.map(|args| args.gateway_timeout), accepted);
        }
        check("1ms", Some(Duration::from_millis(1)));
        check("9s", Some(Duration::from_secs(9)));
        for timeout in ["0s", "-1s", "soon", "", "9001ms", "10s", "1h"] {
            check(timeout, None);
        }
        let help = Args::command().render_long_help().to_string();
        assert!(help.contains(&format!("1ms to {LONGEST_TIMEOUT:?}")));
    }
}
