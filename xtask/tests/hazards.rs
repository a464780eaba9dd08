//! The table "Hazards" of ARCHITECTURE.md names tests that exist, and every test of a hazard.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic, and so may its helpers"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names in the second column: `hazards::leases::thousand_events`.
fn named() -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let (_, section) = text.split_once("\n## Hazards\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    rows.filter_map(|row| row.split('|').nth(2))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

/// Where a test should be: of the integration tests, unless it names the package `common`.
fn file_of(test: &str) -> (PathBuf, &str) {
    let (module, name) = test.rsplit_once("::").unwrap();
    let (folder, module) = match module.strip_prefix("common::") {
        Some(module) => ("common/src", module),
        None => ("tests/it", module),
    };
    let file = format!("{folder}/{}.rs", module.replace("::", "/"));
    (repository().join(file), name)
}

/// The names of the tests in a file that say what their guard is.
fn guarded(text: &str) -> BTreeSet<&str> {
    let mut guarded = BTreeSet::new();
    let mut says = false;
    for line in text.lines() {
        if line.starts_with("// Guard: ") {
            says = true;
        } else if let Some((_, name)) = line.split_once("fn ") {
            if says {
                guarded.insert(name.split('(').next().unwrap());
            }
            says = false;
        } else if line.is_empty() {
            says = false;
        }
    }
    guarded
}

#[test]
fn every_test_that_the_table_names_exists_and_says_what_its_guard_is() {
    let named = named();
    assert!(named.len() > 50, "this is not the table: {named:?}");
    let missing: Vec<_> = named
        .iter()
        .filter(|test| {
            let (file, name) = file_of(test);
            let text = fs::read_to_string(file).unwrap_or_default();
            !guarded(&text).contains(name)
        })
        .collect();
    assert!(missing.is_empty(), "no test with a guard: {missing:#?}");
}

#[test]
fn every_hazard_with_a_guard_is_in_the_table() {
    let named = named();
    let mut missing = Vec::new();
    for file in fs::read_dir(repository().join("tests/it/hazards")).unwrap() {
        let path = file.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let tests = guarded(&text).into_iter();
        let tests = tests.map(|name| format!("hazards::{module}::{name}"));
        missing.extend(tests.filter(|test| !named.contains(test)));
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md lacks {missing:#?}");
}
