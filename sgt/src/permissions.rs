use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use common::{Permissions, QueueGroup, SubjectSet as _, Subjects};
use xtask::NATS_CONF;

use crate::name::Known;

/// The name of the operator's own user, and of its client.
pub(crate) const OPERATOR: &str = "sgt";

/// Print what a service's NATS user must be allowed, and no more, as configuration of nats-server.
///
/// It is derived from the list of channels. A service with such a user starts with PROVISION=off: `sgt provision` creates
/// what it needs. Each user's password is a variable of the configuration, as `$TICKETS_SERVICE_PASSWORD`, which nats-server
/// takes from its environment; one that is no plain word needs quotes inside.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sgt permissions tickets-service
  sgt permissions --all > nats-users.conf
  TICKETS_SERVICE_PASSWORD=... ORDERS_SERVICE_PASSWORD=... PAYMENTS_SERVICE_PASSWORD=... SGT_PASSWORD=... \\
    nats-server --config nats-users.conf --store_dir data/nats
  NATS_USER=sgt NATS_PASSWORD=... sgt provision")]
pub(crate) struct Args {
    /// The service, or `sgt` for the operator
    #[arg(value_name = "SERVICE", required_unless_present = "all", conflicts_with = "all", value_parser = parse_user)]
    user: Option<User>,

    /// A whole configuration: a user for each service, and `sgt` for the operator
    #[arg(long)]
    all: bool,
}

/// Who connects.
#[derive(Debug, Clone, Copy)]
enum User {
    Service(QueueGroup),
    Operator,
}

impl User {
    /// Everybody whom the list names, and the operator.
    fn all() -> Vec<Self> {
        let mut services = BTreeMap::new();
        for subject in Subjects::ALL {
            for group in [&[subject.producer()], subject.consumers()].concat() {
                services.insert(group.as_str(), group);
            }
        }
        let services = services.into_values().map(Self::Service);
        services.chain([Self::Operator]).collect()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Service(group) => group.as_str(),
            Self::Operator => OPERATOR,
        }
    }

    /// The variable that has the user's password.
    fn password(self) -> String {
        format!("{}_PASSWORD", self.name().to_uppercase().replace('-', "_"))
    }

    fn permissions(self) -> Permissions {
        match self {
            Self::Service(group) => Permissions::of::<Subjects>(group),
            Self::Operator => Permissions::of_operator::<Subjects>(OPERATOR),
        }
    }
}

fn parse_user(name: &str) -> Result<User, String> {
    let all = User::all();
    let known = Known::new(name, all.iter().map(|user| user.name()));
    all.iter()
        .find(|user| user.name() == name)
        .copied()
        .ok_or_else(|| known.to_string())
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = match args.user {
        Some(user) => entry(user),
        None => whole(),
    };
    io::stdout().lock().write_all(config.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// As [`whole`], with the same password for everybody.
pub(crate) fn with_password(password: &str) -> String {
    let variables = User::all()
        .into_iter()
        .map(|user| format!("{}: \"{password}\"\n", user.password()));
    variables.collect::<String>() + &whole()
}

/// A configuration with which a server can be started.
fn whole() -> String {
    let users: String = User::all().into_iter().map(entry).collect();
    format!(
        "# Printed by `sgt permissions --all`; print it again when the list of channels changes.\n\n{NATS_CONF}\n\
         authorization {{\nusers: [\n{users}]\n}}\n"
    )
}

/// One of the `users` of a configuration.
fn entry(user: User) -> String {
    let permissions = user.permissions();
    format!(
        "{{\n  user: {}\n  password: ${}\n  permissions: {{\n    publish: {{ allow: [\n{}    ] }}\n    \
         subscribe: {{ allow: [\n{}    ] }}\n  }}\n}}\n",
        user.name(),
        user.password(),
        lines(&permissions.publish()),
        lines(permissions.subscribe()),
    )
}

/// Quoted: what begins with `$` would be a variable.
fn lines(subjects: &[String]) -> String {
    subjects.iter().fold(String::new(), |mut text, subject| {
        // A text takes what is written to it.
        let _ = writeln!(text, "      \"{subject}\"");
        text
    })
}
