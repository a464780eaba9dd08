//! The table "Hazards" of ARCHITECTURE.md names tests that exist, and every test of a hazard; and whatever test or
//! file a document names is there.

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

/// The packages that have tests of their own beside the integration tests.
const PACKAGES: &[&str] = &["common", "schemas", "sgt", "tickets-service", "xtask"];

/// Where a test should be, and its name: of the integration tests, unless its path begins with a package's name.
fn file_of(test: &str) -> (PathBuf, &str) {
    let (module, name) = test.rsplit_once("::").unwrap();
    let package = PACKAGES
        .iter()
        .find_map(|package| Some((package, module.strip_prefix(&format!("{package}::"))?)));
    let (folder, module) = match package {
        Some((package, module)) => (format!("{package}/src"), module),
        None => ("tests/it".to_owned(), module),
    };
    let folder = repository().join(folder);
    let file = folder.join(module.replace("::", "/")).with_extension("rs");
    // A small module has its tests in its own file, a large one beside it.
    match module.strip_suffix("::tests") {
        Some(tested) if !file.is_file() => {
            let file = folder.join(tested.replace("::", "/"));
            (file.with_extension("rs"), name)
        }
        _ => (file, name),
    }
}

/// The words of a document between single backticks, in its text and not in its listings.
fn code(text: &str) -> Vec<&str> {
    let outside_listings = text.split("\n```").step_by(2);
    outside_listings
        .flat_map(|part| part.split('`').skip(1).step_by(2))
        .collect()
}

/// Whether it is the path of a test, and not of a type or function of the library.
fn is_test(code: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:-".contains(c);
    let Some((root, rest)) = code.split_once("::") else {
        return false;
    };
    let of_integration = repository().join(format!("tests/it/{root}.rs")).is_file();
    let of_package = PACKAGES.contains(&root) && rest.contains("tests::");
    code.chars().all(plain) && (of_integration || of_package)
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

/// Whether the file has a test of this name.
fn has_test(file: &Path, name: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ") {
            if is_test && rest.split('(').next() == Some(name) {
                return true;
            }
            is_test = false;
        }
    }
    false
}

#[test]
fn every_test_that_a_document_names_exists() {
    // Where nothing but tests is named by a path, a misspelled one is found too.
    let any_path = |code: &&str| code.contains("::");
    missing_tests("SECURITY.md", any_path);
    missing_tests("ARCHITECTURE.md", |code| is_test(code));
}

#[track_caller]
fn missing_tests(document: &str, is_named: impl Fn(&&str) -> bool) {
    let text = fs::read_to_string(repository().join(document)).unwrap();
    let named: Vec<_> = code(&text).into_iter().filter(is_named).collect();
    assert!(named.len() > 40, "{document} names {named:?}");
    let missing: Vec<_> = named
        .into_iter()
        .filter(|test| {
            let (file, name) = file_of(test);
            !has_test(&file, name)
        })
        .collect();
    assert!(missing.is_empty(), "{document}: no test: {missing:#?}");
}

/// Links, and files that stand between backticks with their folder: from the root, or from the library's.
#[test]
fn every_file_that_a_document_names_exists() {
    for document in ["ARCHITECTURE.md", "README.md", "SECURITY.md"] {
        let text = fs::read_to_string(repository().join(document)).unwrap();
        let links = text.split("](").skip(1);
        let links = links.filter_map(|rest| rest.split([')', '#']).next());
        let links = links.filter(|link| !link.is_empty() && !link.contains("://"));
        let is_file = |code: &&str| {
            code.contains('/') && Path::new(code).extension().is_some_and(|e| e == "rs")
        };
        let files = code(&text).into_iter().filter(is_file);
        let missing: Vec<_> = links
            .chain(files)
            .filter(|file| {
                let mut roots = [repository(), repository().join("common/src")].into_iter();
                !roots.any(|root| root.join(file).exists())
            })
            .collect();
        assert!(missing.is_empty(), "{document}: no file: {missing:#?}");
    }
}
