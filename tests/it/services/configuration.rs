//! The programs as an operator meets them: what they say when they cannot start, and how they stop.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::Subjects::{OrderCreated, PaymentCreated, TicketCreated};
use common::{ORDERS_SERVICE, PAYMENTS_SERVICE, QueueGroup, TICKETS_SERVICE};
use integration_tests::services::{Story, System};
use tempfile::TempDir;
use xtask::command::{self, Finished};

use super::{SERVICES, program};

const JWT_KEY: &str = "a key of at least thirty-two bytes";
/// Longer than a program waits for anything before it gives up.
const END_WITHIN: Duration = Duration::from_secs(30);

/// Runs the program of a service in a folder that it may fill, with these variables and no others.
fn run(service: QueueGroup, folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Finished {
    let mut command = Command::new(program(service));
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("RUST_BACKTRACE", "1")
        .env("HTTP_ADDR", "127.0.0.1:0")
        // Port 1 is nobody's: the connection is refused.
        .env("NATS_URL", "nats://127.0.0.1:1")
        .envs(variables.iter().copied());
    let finished = command::run(&mut command, END_WITHIN).unwrap();
    let Finished { stdout, stderr, .. } = &finished;
    for said in [stdout, stderr] {
        for secret in [JWT_KEY, "hunter2"] {
            assert!(!said.contains(secret), "{service} tells a secret: {said}");
        }
        assert!(
            !said.contains("backtrace") && !said.contains("panicked"),
            "{service}: {said}"
        );
    }
    finished
}

/// Each program ends with exit code 1 and one line that has these words.
fn check_refusal(variables: &[(&str, &str)], words: &[&str]) {
    for service in SERVICES {
        let folder = TempDir::new().unwrap();
        let mut all = vec![("JWT_KEY", JWT_KEY)];
        all.extend(variables);
        let Finished {
            status,
            stdout,
            stderr,
        } = run(service, folder.path(), &[], &all);
        assert_eq!(status.code(), Some(1), "{service}: {stderr}");
        assert_eq!(stdout, "", "{service} listens to nothing");
        let [line] = stderr.lines().collect::<Vec<_>>()[..] else {
            panic!("{service} says it in one line: {stderr}");
        };
        assert!(line.starts_with(&format!("{service}: ")), "{line}");
        for word in words {
            assert!(
                line.contains(word),
                "{service} does not say `{word}`: {line}"
            );
        }
    }
}

#[test]
fn missing_key_and_unusable_values_are_usage_errors() {
    for service in SERVICES {
        let folder = TempDir::new().unwrap();
        let usage = |args: &[&str], variables: &[(&str, &str)], word: &str| {
            let Finished {
                status,
                stdout,
                stderr,
            } = run(service, folder.path(), args, variables);
            assert_eq!(status.code(), Some(2), "{service}: {stderr}");
            assert_eq!(stdout, "", "{service}");
            assert!(
                stderr.contains(word),
                "{service} does not say `{word}`: {stderr}"
            );
        };
        let key = ("JWT_KEY", JWT_KEY);
        usage(&[], &[], "--jwt-key <JWT_KEY>");
        usage(&["--colour"], &[key], "--colour");
        usage(&["extra"], &[key], "extra");
        usage(&[], &[key, ("HTTP_ADDR", "nowhere")], "nowhere");
        usage(&[], &[key, ("PROVISION", "maybe")], "maybe");
        usage(&[], &[key, ("REPLICAS", "2")], "1 or 3");
        let listed = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(listed, 0, "{service} has touched nothing");
    }
}

#[test]
fn short_key_is_refused() {
    check_refusal(&[("JWT_KEY", "short")], &["JWT_KEY", "at least 32"]);
}

#[test]
fn unreachable_nats_is_said() {
    check_refusal(&[], &["NATS", "127.0.0.1:1"]);
}

#[test]
fn address_with_a_password_is_said_without_it() {
    let nats = ("NATS_URL", "nats://bob:hunter2@127.0.0.1:1");
    check_refusal(&[nats], &["NATS", "127.0.0.1:1"]);
    let database = (
        "DATABASE_URL",
        "postgres://bob:hunter2@127.0.0.1:1/db?password=hunter2",
    );
    let ledger = ("GATEWAY_LEDGER", "sqlite://ledger.db");
    check_refusal(&[database, ledger], &["database", "127.0.0.1:1"]);
}

#[test]
fn port_in_use_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    check_refusal(
        &[("HTTP_ADDR", &addr)],
        &["cannot listen on", &addr, "in use"],
    );
}

#[test]
fn database_that_cannot_be_written_is_said() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let inside = format!("sqlite://{}/service.db", file.display());
    let path = file.display().to_string();
    // The ledger of the sandbox lies elsewhere, so that it is the database that is missed.
    let ledger = format!("sqlite://{}/ledger.db", folder.path().display());
    let ledger = ("GATEWAY_LEDGER", ledger.as_str());
    check_refusal(&[("DATABASE_URL", &inside), ledger], &["database", &path]);
    let itself = format!("sqlite://{path}");
    check_refusal(&[("DATABASE_URL", &itself), ledger], &["database", &path]);
    check_refusal(
        &[("DATABASE_URL", "mysql://localhost/x"), ledger],
        &["database"],
    );
}

#[test]
fn help_names_every_variable() {
    let every = [
        "HTTP_ADDR",
        "DATABASE_URL",
        "NATS_URL",
        "NATS_CREDS",
        "NATS_NKEY",
        "NATS_USER",
        "NATS_PASSWORD",
        "NATS_TOKEN",
        "NATS_CA",
        "NATS_CERT",
        "NATS_KEY",
        "JWT_KEY",
        "PROVISION",
        "REPLICAS",
        "RUST_LOG",
        "127.0.0.1:300",
        "sqlite://data/",
    ];
    for service in SERVICES {
        let own: &[_] = match service {
            ORDERS_SERVICE => &["ORDER_TTL", "15m"],
            PAYMENTS_SERVICE => &[
                "PAYMENT_GATEWAY",
                "sandbox",
                "GATEWAY_TIMEOUT",
                "GATEWAY_LEDGER",
                "SANDBOX_LATENCY",
            ],
            _ => &[],
        };
        let folder = TempDir::new().unwrap();
        let help = run(service, folder.path(), &["--help"], &[("JWT_KEY", JWT_KEY)]);
        assert_eq!(help.status.code(), Some(0), "{}", help.stderr);
        for word in every.iter().chain(own) {
            assert!(
                help.stdout.contains(word),
                "{word} is missing in {}",
                help.stdout
            );
        }
        let version = run(service, folder.path(), &["--version"], &[]);
        assert!(
            version.stdout.starts_with(service.as_str()),
            "{}",
            version.stdout
        );
    }
}

#[tokio::test]
async fn program_says_which_streams_are_missing_or_makes_them_if_it_is_told_to() {
    let system = System::builder().start_bare_server().await;
    let folder = TempDir::new().unwrap();
    for service in SERVICES {
        let variables = [
            ("JWT_KEY", JWT_KEY),
            ("NATS_URL", system.nats_url()),
            ("RUST_LOG", "off"),
        ];
        let Finished { status, stderr, .. } = run(service, folder.path(), &[], &variables);
        assert_eq!(status.code(), Some(1), "{service}: {stderr}");
        let line = stderr.lines().last().unwrap_or_default();
        assert!(
            line.starts_with(&format!("{service}: ")) && line.contains("ORDERS"),
            "{stderr}"
        );
    }

    let mut programs = Vec::new();
    for service in SERVICES {
        let create = [("PROVISION", "create")];
        programs.push(system.run_program(service, program(service), &create).await);
    }
    let order = system.order_that_awaits_payment().await;
    assert_eq!(system.user("bob").pays(order, "tok_visa").await.status, 201);
    system.until_story(order, &Story::complete()).await;
    for program in programs {
        assert!(program.terminate().await.success());
    }
}

#[tokio::test]
async fn program_that_is_told_to_stop_finishes_what_it_has_begun_and_exits_with_success() {
    let system = System::builder().start_server().await;
    let start = async |service, variables: &[_]| {
        system
            .run_program(service, program(service), variables)
            .await
    };
    let tickets = start(TICKETS_SERVICE, &[]).await;
    let orders = start(ORDERS_SERVICE, &[]).await;
    let payments = start(PAYMENTS_SERVICE, &[("SANDBOX_LATENCY", "1s")]).await;
    let bob = system.user("bob");
    let order = system.order_that_awaits_payment().await;

    let (paid, status) = tokio::join!(bob.tries_to_pay(order, "tok_visa"), async {
        let charging = format!("SELECT status FROM payments.payments WHERE order_id = '{order}'");
        system
            .until_asked("the bank is asked", &charging, &["charging"])
            .await;
        payments.terminate().await
    });

    assert_eq!(paid.unwrap().status, 201, "the request had begun");
    assert!(status.success(), "{status}");
    assert_eq!(
        system.broker().events(PaymentCreated, order).await.len(),
        1,
        "it is told of"
    );
    system
        .until_asked(
            "the order is complete",
            "SELECT status FROM orders.orders",
            &["complete"],
        )
        .await;

    let ticket = system.user("alice").sells("Opera", 1000).await;
    assert!(tickets.terminate().await.success());
    assert_eq!(
        system.broker().events(TicketCreated, ticket).await.len(),
        1,
        "it is told of"
    );
    let order = bob.orders_once_known(ticket).await;
    assert!(orders.terminate().await.success());
    assert_eq!(
        system.broker().events(OrderCreated, order).await.len(),
        1,
        "it is told of"
    );
}
