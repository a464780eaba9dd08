//! What the tests of other languages and of the page need: Node, Python, a browser.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use xtask::packages::{Node, Python};

use super::workspace;

/// What Debian and others call it.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// What was found, and what was not.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    environment: Vec<(&'static str, PathBuf)>,
    left_out: Vec<String>,
}

impl Foreign {
    /// Finds and installs it. In CI, all of it must be there.
    pub(super) fn prepare() -> anyhow::Result<Self> {
        let mut foreign = Self::default();
        let node = Node::with_packages(&workspace().join("schemas/npm"));
        foreign.add(
            "TEST_NODE",
            "the Node client and AsyncAPI",
            node.map(|node| node.folder).map_err(Into::into),
        );
        let python =
            Python::with_packages(&workspace().join("tests/foreign/python/requirements.txt"));
        foreign.add(
            "TEST_PYTHON",
            "the Python client",
            python.map(|python| python.path).map_err(Into::into),
        );
        foreign.add(
            "TEST_CHROMIUM",
            "the catalogue page in a browser",
            browser(),
        );
        if !foreign.left_out.is_empty() && env::var_os("CI").is_some() {
            bail!("in CI nothing is left out: {}", foreign.left_out.join("; "));
        }
        Ok(foreign)
    }

    fn add(&mut self, variable: &'static str, what: &str, found: anyhow::Result<PathBuf>) {
        match found {
            Ok(path) => self.environment.push((variable, path)),
            Err(why) => self.left_out.push(format!("{what} ({why:#})")),
        }
    }

    /// Says what is left out, before the tests and after them.
    pub(super) fn say(&self) {
        for what in &self.left_out {
            eprintln!("xtask: the tests of this run leave out {what}");
        }
    }

    /// The variables by which the tests are told where things are.
    pub(super) fn environment(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.environment
            .iter()
            .map(|(name, path)| (*name, path.as_path()))
    }
}

fn browser() -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path).collect();
    let mut programs = BROWSERS.iter().flat_map(|name| {
        let file = format!("{name}{}", env::consts::EXE_SUFFIX);
        folders.iter().map(move |folder| folder.join(&file))
    });
    programs
        .find(|program| program.is_file())
        .context("there is no `chromium` on PATH")
}
