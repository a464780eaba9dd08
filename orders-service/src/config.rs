use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use common::ORDERS_SERVICE;
use common::http::{
    ArgsError, InvalidDuration, ServiceArgs, ServiceConfig, VARIABLES, parse_duration,
};
use jiff::{SignedDuration, Timestamp};

/// What orders-service is configured by.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every service is configured by.
    pub service: ServiceConfig,
    /// How long an order waits for its payment.
    pub order_ttl: OrderTtl,
}

/// Takes orders: one at a time for each ticket, until it is paid, cancelled or expired.
#[derive(Debug, Parser)]
#[command(name = ORDERS_SERVICE.as_str(), version, after_help = VARIABLES)]
#[command(mut_arg("http_addr", |arg| arg.required(false).default_value("127.0.0.1:3002")))]
#[command(mut_arg("database_url", |arg| arg.required(false).default_value("sqlite://data/orders-service.db")))]
struct Args {
    #[command(flatten)]
    service: ServiceArgs,

    /// How long an order waits for its payment, such as 15m or 2s: 1ms to 7d.
    #[arg(long, env, value_name = "DURATION", default_value_t)]
    order_ttl: OrderTtl,
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
            service: args.service.into_config(ORDERS_SERVICE)?,
            order_ttl: args.order_ttl,
        })
    }
}

/// How long an order waits for its payment: 1 ms to 7 days, 15 minutes if nobody says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderTtl(SignedDuration);

impl OrderTtl {
    const SHORTEST: SignedDuration = SignedDuration::from_millis(1);
    /// Well below the 30 days for which a stream keeps what is due later.
    const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

    /// Orders that are due when they are placed.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self(SignedDuration::ZERO);

    /// When an order that is placed now expires.
    pub(crate) fn from(self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.0).unwrap_or(Timestamp::MAX)
    }
}

impl Default for OrderTtl {
    fn default() -> Self {
        Self(SignedDuration::from_mins(15))
    }
}

impl TryFrom<Duration> for OrderTtl {
    type Error = InvalidTtl;

    fn try_from(duration: Duration) -> Result<Self, InvalidTtl> {
        let duration = SignedDuration::try_from(duration).map_err(|_| InvalidTtl::OutOfRange)?;
        if (Self::SHORTEST..=Self::LONGEST).contains(&duration) {
            Ok(Self(duration))
        } else {
            Err(InvalidTtl::OutOfRange)
        }
    }
}

impl From<OrderTtl> for Duration {
    fn from(OrderTtl(ttl): OrderTtl) -> Self {
        ttl.unsigned_abs()
    }
}

impl FromStr for OrderTtl {
    type Err = InvalidTtl;

    fn from_str(text: &str) -> Result<Self, InvalidTtl> {
        match parse_duration(text) {
            Ok(duration) => duration.try_into(),
            Err(InvalidDuration::Malformed) => Err(InvalidTtl::Malformed),
            Err(_) => Err(InvalidTtl::OutOfRange),
        }
    }
}

impl fmt::Display for OrderTtl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// The text or duration is no time that an order can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTtl {
    /// It is no duration.
    #[error("not a duration, such as 15m, 2s or 1h30m")]
    Malformed,
    /// It is too short or too long.
    #[error("an order waits from 1ms to 7d")]
    OutOfRange,
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
            "127.0.0.1:3002",
            "DATABASE_URL",
            "sqlite://data/orders-service.db",
            "NATS_URL",
            "NATS_CREDS",
            "JWT_KEY",
            "PROVISION",
            "REPLICAS",
            "ORDER_TTL",
            "15m",
            "RUST_LOG",
        ] {
            assert!(help.contains(variable), "{variable} is missing in\n{help}");
        }
    }

    #[test]
    fn key_alone_is_enough() {
        Args::command().debug_assert();
        let key = "k".repeat(32);
        let args = Args::try_parse_from(["orders-service", "--jwt-key", &key]).unwrap();
        let config = args.service.into_config(ORDERS_SERVICE).unwrap();
        assert_eq!(config.http_addr.port(), 3002);
        assert_eq!(args.order_ttl, OrderTtl::default());
    }

    #[track_caller]
    fn check(text: &str, expected: Result<Duration, InvalidTtl>) {
        assert_eq!(
            text.parse::<OrderTtl>(),
            expected.and_then(OrderTtl::try_from),
            "{text}"
        );
    }

    #[test]
    fn ttl_is_a_duration_within_bounds() {
        check("15m", Ok(Duration::from_mins(15)));
        check("2s", Ok(Duration::from_secs(2)));
        check("500ms", Ok(Duration::from_millis(500)));
        check("1h30m", Ok(Duration::from_mins(90)));
        check("168h", Ok(Duration::from_hours(168)));
        for text in ["", "15", "m", "soon", "1y"] {
            check(text, Err(InvalidTtl::Malformed));
        }
        for text in ["0s", "-15m", "169h", "1us", "999999999999h"] {
            check(text, Err(InvalidTtl::OutOfRange));
        }
    }
}
