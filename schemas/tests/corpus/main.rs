//! The gate on edits whose right verdict is known: schemas with a reason beside each (`*.json`), and
//! Rust types, of which serde itself says what they read (`types.rs`).
//!
//! `cargo test -p schemas --test corpus -- --nocapture` prints the confusion table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the table is the result")]

mod random;
mod table;
mod types;

use std::fs;
use std::path::Path;

use schemas::compat::{Judgement, Reader, Verdict};
use serde_json::Value;
use table::{Direction, Table, Truth};

/// An edit of a schema, and what is to be said of it.
struct Edit {
    name: String,
    old: Value,
    new: Value,
    reader: Reader,
    new_reads_old: Truth,
    old_reads_new: Truth,
}

fn edits() -> Vec<Edit> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort_unstable();
    let edits = files.iter().flat_map(|file| {
        let text = fs::read_to_string(file).unwrap();
        let edits: Vec<Value> = serde_json::from_str(&text).unwrap();
        let topic = file.file_stem().unwrap().to_string_lossy().into_owned();
        edits.into_iter().map(move |edit| read(&topic, &edit))
    });
    edits.collect()
}

fn read(topic: &str, edit: &Value) -> Edit {
    let text = |name: &str| {
        edit[name]
            .as_str()
            .unwrap_or_else(|| panic!("{topic}: {edit} has no {name:?}"))
    };
    assert!(!text("because").is_empty());
    Edit {
        name: format!("{topic}: {}", text("name")),
        old: edit["old"].clone(),
        new: edit["new"].clone(),
        reader: match edit["reader"].as_str() {
            None => Reader::Serde,
            Some("strict") => Reader::Strict,
            Some(other) => panic!("{topic}: no reader is called {other:?}"),
        },
        new_reads_old: text("new reads old").parse().unwrap(),
        old_reads_new: text("old reads new").parse().unwrap(),
    }
}

#[test]
fn verdict_on_every_edit_is_right() {
    let mut table = Table::default();
    for edit in edits() {
        let judge = |written, reads| Judgement::by_written_schema(written, reads, edit.reader);
        table.enter(
            &edit.name,
            Direction::NewReadsOld,
            edit.new_reads_old,
            &judge(&edit.old, &edit.new),
        );
        table.enter(
            &edit.name,
            Direction::OldReadsNew,
            edit.old_reads_new,
            &judge(&edit.new, &edit.old),
        );
    }
    for edit in types::edits() {
        let (new_reads_old, old_reads_new) = (
            edit.new.reads(&edit.old.values),
            edit.old.reads(&edit.new.values),
        );
        // The types read their own events, or the edit is no edit.
        assert_eq!(
            (
                edit.old.reads(&edit.old.values),
                edit.new.reads(&edit.new.values)
            ),
            (Truth::Reads, Truth::Reads),
            "{}",
            edit.name
        );
        let name = format!("types: {}", edit.name);
        for (direction, truth, writer, reader) in [
            (Direction::NewReadsOld, new_reads_old, &edit.old, &edit.new),
            (Direction::OldReadsNew, old_reads_new, &edit.new, &edit.old),
        ] {
            let by_type =
                Judgement::of(&writer.written, &reader.read, Reader::Serde, &reader.decode);
            table.enter(&name, direction, truth, &by_type);
            let by_schema = Judgement::by_schema(&writer.written, &reader.read, Reader::Serde);
            table.enter(&name, direction, truth, &by_schema);
        }
    }
    println!("{table}");
    assert!(table.wrong().is_empty(), "{}", table.wrong().join("\n"));
    assert!(
        table.edits() >= 270,
        "the corpus has shrunk to {}",
        table.edits()
    );
}

#[test]
fn schema_is_compatible_with_itself() {
    for edit in edits() {
        for schema in [&edit.old, &edit.new] {
            let judgement = Judgement::by_written_schema(schema, schema, edit.reader);
            let verdict = judgement.verdict();
            assert!(
                matches!(verdict, Verdict::Compatible | Verdict::Unjudged),
                "{}: {judgement:?}",
                edit.name
            );
        }
    }
    for edit in types::edits() {
        for side in [&edit.old, &edit.new] {
            let judgement = Judgement::of(&side.written, &side.read, Reader::Serde, &side.decode);
            assert_eq!(
                judgement.verdict(),
                Verdict::Compatible,
                "{}: {judgement:?}",
                edit.name
            );
        }
    }
}
