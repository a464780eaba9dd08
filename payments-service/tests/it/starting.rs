//! The binary, where it cannot start: one line on standard error, and the exit code.

use std::net::TcpListener;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Nobody listens there.
const NO_NATS: &str = "nats://127.0.0.1:1";

/// The service in a folder of its own, with nothing of this process's environment.
fn service(folder: &TempDir) -> Command {
    let mut service = Command::new(env!("CARGO_BIN_EXE_payments-service"));
    service
        .env_clear()
        .current_dir(folder)
        .env("JWT_KEY", "a key of at least thirty-two bytes")
        .env("HTTP_ADDR", "127.0.0.1:0")
        .env("NATS_URL", NO_NATS)
        .env("RUST_LOG", "off");
    service
}

/// A folder with a file in it, where a folder cannot be made.
fn with_a_file() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    folder
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, said: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty(), "{output:?}");
    for said in said {
        assert!(stderr.contains(said), "{said} is missing in {stderr}");
    }
    for internal in ["panicked", "backtrace", "Error {"] {
        assert!(!stderr.contains(internal), "{stderr}");
    }
    if code == 1 {
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn missing_key_is_a_matter_of_usage() {
    let folder = tempfile::tempdir().unwrap();
    let output = service(&folder).env_remove("JWT_KEY").output().unwrap();
    assert_fails(&output, 2, &["--jwt-key"]);
}

#[test]
fn unknown_gateway_is_a_matter_of_usage() {
    let folder = tempfile::tempdir().unwrap();
    let output = service(&folder)
        .env("PAYMENT_GATEWAY", "stripe")
        .output()
        .unwrap();
    assert_fails(&output, 2, &["stripe", "sandbox"]);
}

#[test]
fn short_key_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let output = service(&folder).env("JWT_KEY", "short").output().unwrap();
    assert_fails(&output, 1, &["payments-service: ", "JWT_KEY"]);
}

#[test]
fn unusable_ledger_is_said() {
    let folder = with_a_file();
    let output = service(&folder)
        .env("GATEWAY_LEDGER", "sqlite://file/ledger.db")
        .output()
        .unwrap();
    assert_fails(&output, 1, &["payments-service: ", "`file` of the ledger"]);
}

#[test]
fn unusable_database_is_said() {
    let folder = with_a_file();
    let output = service(&folder)
        .env("GATEWAY_LEDGER", "sqlite://ledger.db")
        .env("DATABASE_URL", "sqlite://file/payments.db")
        .output()
        .unwrap();
    assert_fails(
        &output,
        1,
        &["payments-service: ", "/file` could not be created"],
    );
}

#[test]
fn address_in_use_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = service(&folder).env("HTTP_ADDR", &addr).output().unwrap();
    assert_fails(&output, 1, &["payments-service: ", &addr]);
}

#[test]
fn absent_nats_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let output = service(&folder).output().unwrap();
    assert_fails(&output, 1, &["payments-service: ", "NATS"]);
    assert!(folder.path().join("data/payments-service.db").exists());
    assert!(folder.path().join("data/sandbox-gateway.db").exists());
}
