//! What becomes of the TypeScript where there is no Node. What it is worth, the integration tests say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

/// The program, where it finds neither Node nor anything else.
fn without_node(command: &str, folder: &Path, variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_schemas"))
        .arg(command)
        .arg("--folder")
        .arg(folder)
        .env_clear()
        .env("PATH", "")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn committed() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/generated"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn check_leaves_out_the_typescript_and_says_so() {
    let checked = without_node("check", committed(), &[]);

    assert!(checked.status.success(), "{checked:?}");
    let said = said(&checked);
    assert!(
        said.contains("left out: the TypeScript is not checked"),
        "{said}"
    );
    assert!(said.contains("install Node.js, 18 or newer"), "{said}");
}

#[test]
fn check_fails_in_ci_where_nothing_is_left_out() {
    let checked = without_node("check", committed(), &[("CI", "true")]);

    assert!(!checked.status.success(), "{checked:?}");
    let said = said(&checked);
    assert!(said.contains("the TypeScript was not checked"), "{said}");
}

#[test]
fn generate_writes_all_else_and_fails_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();

    let generated = without_node("generate", folder.path(), &[]);

    assert!(!generated.status.success(), "{generated:?}");
    let said = said(&generated);
    assert!(said.contains("install Node.js, 18 or newer"), "{said}");
    assert!(folder.path().join("asyncapi.json").is_file());
    assert!(!folder.path().join("typescript").exists());
}
