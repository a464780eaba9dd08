use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use common::{Contract, Form, SubjectSet};
use serde_json::Value;

use crate::json;
use crate::rules::{self, BrokenRule};

/// What generated files say of themselves.
pub(crate) const COMMENT: &str =
    "Generated from the Rust types by `cargo run -p schemas -- generate`. Do not edit.";

/// Where the schemas are among the generated files.
pub(crate) const SCHEMAS: &str = "json/";

/// The generated files: their text by their path in the folder, with `/` on every system.
pub type Documents = BTreeMap<String, String>;

/// Why there are no documents.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Event types break rules that every reader counts on.
    #[error("event types break rules:\n{}", lines(.0))]
    Rules(Vec<BrokenRule>),
    /// A file could not be written.
    #[error("could not write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn lines(broken: &[BrokenRule]) -> String {
    let lines: Vec<_> = broken.iter().map(|rule| format!("  {rule}")).collect();
    lines.join("\n")
}

/// The schema of every form of every event of the list `S`, in the state that the types are in.
///
/// `example` is an event of the subject in its present form, the same at each call; that of an earlier
/// form stands on its type, as `#[schemars(example = …)]`.
///
/// # Errors
///
/// [`GenerateError::Rules`] if an event breaks a [`Rule`](crate::Rule).
pub fn documents<S: SubjectSet>(
    example: impl Fn(S) -> Option<Value>,
) -> Result<Documents, GenerateError> {
    let mut documents = Documents::new();
    let mut broken = Vec::new();
    for contract in Contract::<S>::all() {
        let newest = contract.forms.len();
        for form in contract.forms {
            let example = (form.version == newest)
                .then(|| example(contract.subject))
                .flatten();
            let path = format!("{SCHEMAS}{}.v{}.json", contract.file_stem, form.version);
            broken.extend(rules::check(&path, &form.schema));
            let document = document(form, example);
            broken.extend(rules::check_examples(&path, &document));
            documents.insert(path, json::to_text(&document));
        }
    }
    if broken.is_empty() {
        Ok(documents)
    } else {
        Err(GenerateError::Rules(broken))
    }
}

/// The schema with what a reader of the file wants to know.
fn document(form: Form, example: Option<Value>) -> Value {
    let mut schema = form.schema;
    schema["$id"] = form.id.into();
    schema["$comment"] = COMMENT.into();
    if let Some(example) = example {
        schema["examples"] = vec![example].into();
    }
    schema
}

/// Writes the documents that `folder` does not have as they are, and says which.
///
/// # Errors
///
/// [`GenerateError::Write`] if one could not be written.
pub fn write<'d>(documents: &'d Documents, folder: &Path) -> Result<Vec<&'d str>, GenerateError> {
    let mut written = Vec::new();
    for (path, text) in documents {
        let target = folder.join(path);
        if fs::read(&target).is_ok_and(|present| present == text.as_bytes()) {
            continue;
        }
        let parent = target.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&target, text))
            .map_err(|source| GenerateError::Write {
                path: target,
                source,
            })?;
        written.push(path.as_str());
    }
    Ok(written)
}
