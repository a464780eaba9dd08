//! Schemas that others wrote: what is judged of them, and what is said of those that cannot be.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error as _;
use std::fs;
use std::path::Path;

use schemas::compat::{FilesError, Reader, Report, compare_files};
use serde_json::{Value, json};

fn compare(old: &Path, new: &Path) -> Result<Report, FilesError> {
    compare_files(old, new, Reader::Serde)
}

fn compared(old: &[u8], new: &[u8]) -> Result<Report, FilesError> {
    let folder = tempfile::tempdir().unwrap();
    let [old_file, new_file] = ["old.json", "new.json"].map(|name| folder.path().join(name));
    fs::write(&old_file, old).unwrap();
    fs::write(&new_file, new).unwrap();
    compare(&old_file, &new_file)
}

fn with_itself(schema: &Value) -> Result<Report, FilesError> {
    let text = schema.to_string();
    compared(text.as_bytes(), text.as_bytes())
}

/// The error with its cause, as the command prints it.
fn chain(err: &FilesError) -> String {
    let cause = err.source().map(|cause| format!(": {cause}"));
    format!("{err}{}", cause.unwrap_or_default())
}

#[track_caller]
fn refused(schema: &Value, why: &str) {
    let err = chain(&with_itself(schema).unwrap_err());
    assert!(err.contains("old.json") && err.contains(why), "{err}");
}

#[track_caller]
fn reads_itself(schema: &Value) {
    let report = with_itself(schema).unwrap();
    assert!(report.is_compatible(), "{report}");
}

#[track_caller]
fn unjudged(schema: &Value, why: &str) {
    let report = with_itself(schema).unwrap();
    let said = report.to_string();
    assert!(said.contains("cannot be judged"), "{said}");
    assert!(said.contains(why), "{said}");
    assert!(said.contains("compare the two by hand"), "{said}");
}

fn object(fields: &Value) -> Value {
    json!({"type": "object", "properties": fields})
}

#[test]
fn type_that_holds_itself_is_judged() {
    let tree = |word: &str| {
        json!({"$ref": "#/$defs/Tree", "$defs": {"Tree": {
            "type": "object",
            "properties": {
                "left": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]},
                "leaves": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
                "kind": {"enum": ["oak", word]},
            },
            "required": ["kind", "leaves"],
        }}})
    };
    reads_itself(&tree("elm"));

    let (elm, fir) = (tree("elm").to_string(), tree("fir").to_string());
    let report = compared(elm.as_bytes(), fir.as_bytes()).unwrap();

    let text = report.to_string();
    assert_eq!(report.breaks.len(), 2, "{text}");
    assert!(text.contains("$.kind: \"elm\" may be written"), "{text}");
}

#[test]
fn reference_that_leads_nowhere_is_told_with_its_place() {
    let field = |reference: &str| object(&json!({"a": {"$ref": reference}}));
    for reference in [
        "#/$defs/Gone",
        "#anchor",
        "other.json",
        "https://example.org/a.json",
        "#/%zz",
        "#/type",
    ] {
        refused(
            &field(reference),
            &format!("at /properties/a: `$ref` {reference:?} leads to no schema in this file"),
        );
    }
    refused(
        &object(&json!({"a": {"$id": "urn:b", "$ref": "#"}})),
        "at /properties/a: `$id` inside of a schema",
    );
}

#[test]
fn reference_to_itself_and_nothing_else_is_told() {
    let back = "`$ref` leads back to itself";
    refused(&json!({"$ref": "#"}), back);
    refused(&json!({"type": "object", "if": {"$ref": "#"}}), back);
    refused(&json!({"anyOf": [{"$ref": "#"}, {"type": "string"}]}), back);
    refused(
        &json!({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}),
        back,
    );
    // It has a field between, and yet no value, for each holds another.
    let mut endless = object(&json!({"next": {"$ref": "#"}}));
    reads_itself(&endless);
    endless["required"] = json!(["next"]);
    unjudged(&endless, "no instance could be made");
    let list = json!({"type": "array", "minItems": 1, "items": {"$ref": "#"}});
    unjudged(&list, "no instance could be made");
}

#[test]
fn references_are_followed_as_others_write_them() {
    for (reference, name) in [
        ("#/$defs/A%20b", "A b"),
        ("#/$defs/Page%3CA%3E", "Page<A>"),
        ("#/$defs/a~1b", "a/b"),
        ("urn:a#/$defs/A", "A"),
    ] {
        let schema =
            json!({"$id": "urn:a", "$ref": reference, "$defs": {name: {"type": "string"}}});
        reads_itself(&schema);
    }
}

#[test]
fn earlier_drafts_are_judged_by_what_they_mean() {
    let old = |minimum: Value| {
        json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"a": {"$ref": "#/definitions/A", "minLength": 4}},
            "definitions": {"A": {"type": "string", "minLength": minimum}},
        })
    };
    reads_itself(&old(json!(0)));
    // Guard: what stands beside a reference says nothing in draft 07; if it did, this were compatible.
    let (any, two) = (old(json!(0)).to_string(), old(json!(2)).to_string());
    let report = compared(any.as_bytes(), two.as_bytes()).unwrap();
    assert_eq!(report.breaks.len(), 1, "{report}");

    let tuple = json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [true]});
    unjudged(&tuple, "a list whose items differ by their place");
    let draft4 = json!({"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer"});
    refused(&draft4, "drafts 2020-12, 2019-09, 07 and 06 are read");
    refused(
        &json!({"items": [true]}),
        "without `$schema`, it is read as draft 2020-12",
    );
}

#[test]
fn what_is_no_schema_is_told() {
    reads_itself(&json!(true));
    unjudged(&json!(false), "no instance could be made");
    refused(&json!({}), "it says nothing");
    refused(&json!({"name": "n"}), "it says nothing");
    for value in [json!(null), json!(3), json!([]), json!("a")] {
        refused(&value, "no JSON Schema that can be judged: at /: ");
    }
    refused(
        &object(&json!({"a": {"type": "text"}})),
        "at /properties/a/type",
    );
    refused(&json!({"type": "string", "pattern": "("}), "regex");
    for text in [&b""[..], b"\xff\xfe", b"{", b"{} {}"] {
        let err = chain(&compared(text, b"true").unwrap_err());
        assert!(err.contains("old.json is no JSON: "), "{err}");
    }
    let deep = "[".repeat(100_000);
    let err = chain(&compared(b"true", deep.as_bytes()).unwrap_err());
    assert!(err.contains("new.json is no JSON: recursion"), "{err}");
}

/// Each of these took the process down, or all of its memory, or for ever.
#[test]
fn schema_that_is_too_large_is_not_judged() {
    for (keyword, kind) in [("minLength", "string"), ("minItems", "array")] {
        for least in [u64::MAX, 4_000_000_000] {
            unjudged(&json!({"type": kind, keyword: least}), "at least");
        }
    }
    reads_itself(&json!({"type": "string", "maxLength": u64::MAX}));
    let mut nested = json!({"type": "string"});
    for _ in 0..60 {
        nested = json!({"type": "array", "items": nested});
    }
    reads_itself(&nested);

    let fields = (0..400).map(|at| (format!("f{at}"), json!({"type": "integer", "minimum": at})));
    let many: serde_json::Map<_, _> = fields.collect();
    let mut many = object(&many.into());
    many["required"] = many["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    unjudged(&many, "more instances than can be tried");
}

#[test]
fn branches_of_branches_are_counted() {
    let mut definitions = serde_json::Map::new();
    for at in 0..30 {
        let next = json!({"$ref": format!("#/$defs/D{}", at + 1)});
        definitions.insert(format!("D{at}"), json!({"anyOf": [next, next]}));
    }
    definitions.insert("D30".to_owned(), json!({"type": "integer"}));
    refused(
        &json!({"$ref": "#/$defs/D0", "$defs": definitions}),
        "at /: 20000 or more schemas are about one value",
    );
}

#[test]
fn paths_that_have_no_schema_are_told_by_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/a.json"), "true").unwrap();
    let said = |old: &str, new: &str| chain(&compare(&at(old), &at(new)).unwrap_err());

    // Guard: what is not there was called a file among folders.
    assert!(said("gone", "full").contains("gone could not be read: No such file"));
    assert!(said("full", "gone.json").contains("gone.json could not be read"));
    assert!(said("full", "empty").contains("empty has no JSON Schema in it"));
    assert!(said("full/a.json", "full").contains("are not both files or both folders"));
}

#[test]
fn file_that_is_a_schema_on_one_side_only_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for side in ["old", "new"] {
        fs::create_dir(at(side)).unwrap();
        fs::write(at(side).join("other.json"), "true").unwrap();
    }
    fs::write(at("old/a.json"), "{}").unwrap();
    fs::write(at("new/a.json"), r#"{"type": "integer"}"#).unwrap();

    for (old, new) in [("old", "new"), ("new", "old")] {
        let said = chain(&compare(&at(old), &at(new)).unwrap_err());
        assert!(said.contains("old/a.json is no JSON Schema"), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn folder_that_is_linked_into_itself_ends() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.json"), "true").unwrap();
    for link in ["one", "two"] {
        std::os::unix::fs::symlink(folder.path(), folder.path().join(link)).unwrap();
    }

    let report = compare(folder.path(), folder.path()).unwrap();

    assert_eq!(report.judged, 2, "{report}");
}
