//! The command line of the gate: exit codes, formats, and what it says of a baseline that it cannot use.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::Subjects;
use schemas::released::{State, replace};
use serde_json::{Value, json};
use tempfile::TempDir;

fn schemas(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schemas"));
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder with the present list as the released one.
fn released() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let output = schemas(&["release", "--released", path(folder.path())]);
    assert!(output.status.success(), "{output:?}");
    folder
}

#[track_caller]
fn refused(folder: &Path, why: &str) {
    let output = schemas(&["compat", "--released", path(folder)]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let err = text(&output.stderr);
    assert!(err.contains(why), "{err}");
}

#[test]
fn committed_baseline_is_compatible_with_the_list() {
    let output = schemas(&["compat"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn baseline_that_is_missing_or_empty_is_told() {
    let folder = tempfile::tempdir().unwrap();
    refused(
        folder.path(),
        "`cargo run -p schemas -- release` writes the first",
    );
    refused(&folder.path().join("nowhere"), "has no released state");

    let index = r#"{"$comment": "", "release": "0.1.0", "sha256": "", "events": []}"#;
    fs::write(folder.path().join("index.json"), index).unwrap();
    refused(folder.path(), "names no event");
}

#[test]
fn baseline_that_was_edited_is_told_with_the_file() {
    let edit = |file: &str, change: &dyn Fn(String) -> String| {
        let folder = released();
        let file = folder.path().join(file);
        fs::write(&file, change(fs::read_to_string(&file).unwrap())).unwrap();
        folder
    };
    let shorter = |text: String| text.replace("\"maxLength\": 200", "\"maxLength\": 100");
    // Guard: without the digests both edits pass unseen.
    refused(
        edit("json/ticket.created.v1.json", &shorter).path(),
        "ticket.created.v1.json was changed after the release",
    );
    let other_reader = |text: String| text.replace("\"payments-service\"", "\"mailer\"");
    refused(
        edit("index.json", &other_reader).path(),
        "index.json was changed after the release",
    );

    let conflict = |text: String| format!("<<<<<<< ours\n{text}");
    refused(
        edit("json/ticket.created.v1.json", &conflict).path(),
        "ticket.created.v1.json is not what a release writes",
    );
    refused(
        edit("index.json", &conflict).path(),
        "index.json is not what a release writes",
    );
    refused(
        edit("index.json", &|_| "{}".to_owned()).path(),
        "missing field",
    );

    let folder = released();
    fs::remove_file(folder.path().join("json/order.created.v1.json")).unwrap();
    refused(
        folder.path(),
        "order.created.v1.json is named by the index and is not there",
    );
}

#[test]
fn released_again_is_the_same_and_what_no_release_wrote_stays() {
    let folder = released();
    for foreign in ["README.md", "json/notes.json"] {
        fs::write(folder.path().join(foreign), "{}").unwrap();
    }

    let output = schemas(&["release", "--released", path(folder.path())]);

    let out = text(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(!out.lines().any(|line| line.starts_with("wrote")), "{out}");
    for foreign in ["README.md", "json/notes.json"] {
        let said = format!("left {foreign}, which no release wrote");
        assert!(out.contains(&said), "{out}");
        assert!(folder.path().join(foreign).exists(), "{foreign}");
    }
}

#[test]
fn file_of_an_earlier_release_goes_with_its_form() {
    let (state, schemas_of) = (State::present::<Subjects>(), schemas::Documents::new());
    let folder = tempfile::tempdir().unwrap();
    let all = state.to_documents(&schemas_of).unwrap();
    replace(&all, folder.path()).unwrap();
    let mut fewer = state;
    let gone = fewer.events.remove(0);

    let fewer = fewer.to_documents(&schemas_of).unwrap();
    let replaced = replace(&fewer, folder.path()).unwrap();

    let gone = format!("json/{}.v1.json", gone.subject.replace(':', "."));
    assert_eq!(replaced.removed, [gone.as_str()]);
    assert!(!folder.path().join(gone).exists());
    assert_eq!(replaced.written, ["index.json"]);
}

#[test]
fn release_overwrites_no_file_of_another() {
    let folder = released();
    // As if the index had been deleted: whose the schemas are, nobody can tell any more.
    fs::remove_file(folder.path().join("index.json")).unwrap();
    let file = folder.path().join("json/ticket.created.v1.json");
    fs::write(&file, "{}").unwrap();

    let output = schemas(&["release", "--released", path(folder.path())]);

    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let err = text(&output.stderr);
    assert!(
        err.contains("ticket.created.v1.json is in the way, and no release wrote it"),
        "{err}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "{}");
    assert!(!folder.path().join("index.json").exists());
}

/// The released list had an order's status that the present one has not.
fn broken_baseline() -> TempDir {
    let mut state = State::present::<Subjects>();
    for event in &mut state.events {
        for form in &mut event.forms {
            for schema in [&mut form.written, &mut form.read] {
                if let Some(statuses) = schema.pointer_mut("/$defs/OrderStatus/oneOf") {
                    let lost = json!({"type": "string", "const": "lost"});
                    statuses.as_array_mut().unwrap().push(lost);
                }
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let documents = state.to_documents(&schemas::Documents::new()).unwrap();
    schemas::write(&documents, folder.path()).unwrap();
    folder
}

#[test]
fn break_exits_with_1_in_text_and_in_json() {
    let folder = broken_baseline();
    let folder = path(folder.path());
    let output = schemas(&["compat", "--released", folder]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let out = text(&output.stdout);
    assert!(
        out.contains("$.status: \"lost\" may be written, and the reader does not know it"),
        "{out}"
    );
    assert!(
        out.contains("breaks tickets-service and payments-service, which read order:created v1"),
        "{out}"
    );

    let output = schemas(&["compat", "--released", folder, "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = &report["breaks"][0];
    assert_eq!(found["event"], "order:created");
    assert_eq!(found["form"], 1);
    assert_eq!(found["direction"], "new-reads-old");
    assert_eq!(found["changes"][0]["path"], "$.status");
    assert_eq!(
        found["groups"],
        json!(["tickets-service", "payments-service"])
    );
    assert!(found["instead"].as_str().unwrap().contains("Event::PAST"));
}

#[test]
fn breaks_are_released_only_if_they_are_meant() {
    let folder = broken_baseline();
    let arguments = [
        "release",
        "--released",
        path(folder.path()),
        "--accept-breaks",
    ];
    let refused = schemas(&arguments[..3]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        text(&refused.stdout).contains("Not released"),
        "{refused:?}"
    );
    assert_eq!(
        schemas(&["compat", "--released", arguments[2]])
            .status
            .code(),
        Some(1)
    );

    assert!(schemas(&arguments).status.success());
    assert_eq!(
        schemas(&["compat", "--released", arguments[2]])
            .status
            .code(),
        Some(0)
    );
}

/// Compares two schemas as files.
fn compared(old: &Value, new: &Value, more: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let [old_file, new_file] = ["old.json", "new.json"].map(|name| folder.path().join(name));
    fs::write(&old_file, old.to_string()).unwrap();
    fs::write(&new_file, new.to_string()).unwrap();
    let arguments = ["compat", "--old", path(&old_file), "--new", path(&new_file)];
    let output = schemas(&[&arguments, more].concat());
    (
        output.status.code(),
        text(&output.stdout) + &text(&output.stderr),
    )
}

#[test]
fn any_two_schemas_are_compared_as_serde_or_strictly() {
    let old = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    let mut new = old.clone();
    new["properties"]["b"] = json!({"type": "integer"});
    assert_eq!(compared(&old, &new, &[]).0, Some(0));
    let (code, out) = compared(&old, &new, &["--reader", "strict"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.contains("$.b: it may be written, and the reader refuses"),
        "{out}"
    );

    let (code, out) = compared(&old, &json!({"type": 7}), &[]);
    assert_eq!(code, Some(2), "{out}");
    assert!(out.contains("is no JSON Schema"), "{out}");
    let (code, out) = compared(&old, &json!({"name": "no schema"}), &[]);
    assert_eq!(
        (code, out.contains("it says nothing")),
        (Some(2), true),
        "{out}"
    );
}

#[test]
fn folders_are_compared_file_by_file() {
    let (old, new) = (released(), released());
    let (old, new) = (path(old.path()), path(new.path()));
    let compare = || schemas(&["compat", "--old", old, "--new", new]);
    let same = compare();
    assert_eq!(same.status.code(), Some(0), "{same:?}");

    fs::rename(
        format!("{new}/json/order.created.v1.json"),
        format!("{new}/json/order.created.v2.json"),
    )
    .unwrap();
    let output = compare();
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(
        out.contains("json/order.created.v1.json\n  $: the schema is gone"),
        "{out}"
    );
    assert!(
        out.contains("note: json/order.created.v2.json: is new"),
        "{out}"
    );

    fs::write(format!("{new}/json/torn.json"), "{").unwrap();
    let output = compare();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        text(&output.stderr).contains("torn.json is no JSON"),
        "{output:?}"
    );

    let nothing = tempfile::tempdir().unwrap();
    let output = schemas(&["compat", "--old", old, "--new", path(nothing.path())]);
    assert!(
        text(&output.stderr).contains("has no JSON Schema in it"),
        "{output:?}"
    );
    let file = format!("{old}/json/order.created.v1.json");
    let output = schemas(&["compat", "--old", old, "--new", &file]);
    assert!(
        text(&output.stderr).contains("not both files or both folders"),
        "{output:?}"
    );
    let output = schemas(&["compat", "--old", old]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
