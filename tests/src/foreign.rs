//! Programs of other languages and a browser, where `cargo xtask test` has found them.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::spawn_blocking;
use xtask::command::{self, Finished};
use xtask::packages::python;
use xtask::scratch_dir;

/// How long a program may take.
const ENDS_WITHIN: Duration = Duration::from_mins(2);

/// The folder of the generated files.
#[must_use]
pub fn generated() -> PathBuf {
    repository().join("schemas/generated")
}

fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// What `cargo xtask test` has prepared, and names in this variable. `None`: there is none, and the test is left
/// out, which is said.
///
/// # Panics
///
/// In CI, where nothing is left out.
fn prepared(variable: &str) -> Option<PathBuf> {
    let found = env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        assert!(env::var_os("CI").is_none(), "{variable} is not set");
        eprintln!("left out: {variable} is not set; `cargo xtask test` sets it where it can");
    }
    found
}

/// The folder that has the `node_modules` of `schemas/npm`. `None`: the test is left out.
#[must_use]
pub fn node_packages() -> Option<PathBuf> {
    prepared("TEST_NODE")
}

/// A browser. `None`: the test is left out.
#[must_use]
pub fn chromium() -> Option<PathBuf> {
    prepared("TEST_CHROMIUM")
}

/// A client in another language: `tests/foreign`.
#[derive(Debug)]
pub struct Foreign {
    client: Client,
}

#[derive(Debug)]
enum Client {
    /// Compiled among its packages.
    Node(TempDir),
    /// With the folder of its packages.
    Python(PathBuf),
}

impl Foreign {
    /// The program for Node, compiled by `tsc --strict` with the generated types. `None`: there is no Node, and the
    /// test is left out.
    ///
    /// # Panics
    ///
    /// If it does not compile.
    pub async fn node() -> Option<Self> {
        let packages = node_packages()?;
        // Node looks for packages in the folders above.
        let folder = scratch_dir(&packages, "test-").unwrap();
        copy(&repository().join("tests/foreign/node"), folder.path());
        let events = folder.path().join("events");
        fs::create_dir(&events).unwrap();
        copy(&generated().join("typescript"), &events);
        let mut tsc = Command::new("node");
        tsc.arg(packages.join("node_modules/typescript/bin/tsc"))
            .arg("--project")
            .arg(folder.path());
        let compiled = finish(tsc).await;
        assert!(
            compiled.status.success(),
            "the client does not compile:\n{}{}",
            compiled.stdout,
            compiled.stderr
        );
        let client = Client::Node(folder);
        Some(Self { client })
    }

    /// The program for Python. `None`: there is no Python, and the test is left out.
    #[must_use]
    pub fn python() -> Option<Self> {
        let client = Client::Python(prepared("TEST_PYTHON")?);
        Some(Self { client })
    }

    /// Runs it with these arguments, and returns when it has ended.
    ///
    /// # Panics
    ///
    /// If it does not run, or does not end.
    pub async fn run(&self, arguments: &[&OsStr]) -> Finished {
        let mut program = match &self.client {
            Client::Node(folder) => {
                let mut node = Command::new("node");
                node.arg(folder.path().join("built/client.js"));
                node
            }
            Client::Python(packages) => {
                let mut python = python();
                python
                    .env("PYTHONPATH", packages)
                    .env("PYTHONDONTWRITEBYTECODE", "1")
                    .arg(repository().join("tests/foreign/python/client.py"));
                python
            }
        };
        program.args(arguments);
        finish(program).await
    }
}

/// Runs a program to its end.
///
/// # Panics
///
/// If it does not run, or does not end.
pub async fn finish(mut program: Command) -> Finished {
    let finished = spawn_blocking(move || command::run(&mut program, ENDS_WITHIN));
    finished.await.unwrap().unwrap()
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
