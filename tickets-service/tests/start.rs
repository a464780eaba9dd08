//! What the program says when it cannot start: one line on standard error, and an exit code.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic, and so may its helpers"
)]

use std::net::TcpListener;
use std::process::{Command, Output};

const KEY: &str = "a key of at least thirty-two bytes";

/// Runs the program with these variables and no others.
fn start(variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tickets-service"))
        .env_clear()
        .env("RUST_BACKTRACE", "1")
        .env("HTTP_ADDR", "127.0.0.1:0")
        // Port 1 is nobody's: the connection is refused.
        .env("NATS_URL", "nats://127.0.0.1:1")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[track_caller]
fn check(variables: &[(&str, &str)], words: &[&str]) {
    let output = start(variables);
    let said = String::from_utf8(output.stderr).unwrap();
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(last.starts_with("tickets-service: "), "{said}");
    for word in words {
        assert!(last.contains(word), "`{word}` is not in: {said}");
    }
    assert!(!said.contains("stack backtrace"), "{said}");
    assert_eq!(output.stdout, b"", "nothing is listened to");
}

#[test]
fn missing_key_is_a_usage_error() {
    let output = start(&[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--jwt-key"), "{said}");
}

#[test]
fn short_key_is_refused_and_not_shown() {
    check(&[("JWT_KEY", "hunter2")], &["JWT_KEY", "at least 32"]);
    let said = start(&[("JWT_KEY", "hunter2")]).stderr;
    assert!(!String::from_utf8(said).unwrap().contains("hunter2"));
}

#[test]
fn malformed_log_filter_is_said() {
    check(&[("JWT_KEY", KEY), ("RUST_LOG", "a=b=c")], &["RUST_LOG"]);
}

#[test]
fn port_in_use_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    check(
        &[("JWT_KEY", KEY), ("HTTP_ADDR", &addr)],
        &[&addr, "in use"],
    );
}

#[test]
fn database_that_cannot_be_opened_is_said() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let url = format!("sqlite://{}/tickets.db", file.display());
    check(
        &[("JWT_KEY", KEY), ("DATABASE_URL", &url)],
        &["database", &file.display().to_string()],
    );
    check(
        &[("JWT_KEY", KEY), ("DATABASE_URL", "mysql://localhost/x")],
        &["database"],
    );
}

#[test]
fn unreachable_nats_is_said() {
    let folder = tempfile::TempDir::new().unwrap();
    let url = format!("sqlite://{}/data/tickets.db", folder.path().display());
    check(
        &[("JWT_KEY", KEY), ("DATABASE_URL", &url)],
        &["NATS", "127.0.0.1:1"],
    );
}

#[test]
fn wrong_values_are_usage_errors() {
    for (variable, value) in [
        ("HTTP_ADDR", "nowhere"),
        ("PROVISION", "maybe"),
        ("REPLICAS", "2"),
    ] {
        let output = start(&[("JWT_KEY", KEY), (variable, value)]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(value), "{said}");
        assert!(!said.contains(KEY), "{said}");
    }
}
