use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use common::events::UserId;
use common::http::{JwtKey, parse_time_limit};

/// Print a token that signs a user in: for development.
///
/// `curl -H "Authorization: Bearer $(cargo run -q -p sgt -- token --user alice)" http://127.0.0.1:3002/api/orders`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Who is signed in: 1 to 128 printable ASCII characters
    #[arg(long, value_name = "NAME")]
    user: UserId,

    /// How long the token is good for
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_time_limit)]
    ttl: Duration,

    /// The key that the services verify with, of 32 bytes or more. Prefer the variable
    #[arg(long, env, value_name = "JWT_KEY", hide_env_values = true)]
    jwt_key: String,
}

impl std::fmt::Debug for Args {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args")
            .field("user", &self.user)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let key = JwtKey::new(&args.jwt_key).context("JWT_KEY cannot be used")?;
    let token = key.mint(&args.user, args.ttl);
    writeln!(io::stdout().lock(), "{token}")?;
    Ok(ExitCode::SUCCESS)
}
