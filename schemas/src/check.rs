use std::collections::BTreeMap;
use std::path::Path;
use std::{fmt, fs, io};

use serde_json::Value;
use similar::TextDiff;

use crate::documents::{Documents, SCHEMAS};
use crate::json;

/// How a committed file differs from what the types say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The file is not there.
    Missing,
    /// No event has this file.
    Extra,
    /// The file is no JSON: it was edited by hand, or holds a conflict of a merge.
    NotJson {
        /// The lines that differ.
        diff: String,
    },
    /// Only what people read differs: no reader of events is affected.
    Comments {
        /// The lines that differ.
        diff: String,
    },
    /// What events may hold differs.
    Meaning {
        /// The lines that differ.
        diff: String,
    },
    /// The file is no schema, and differs from what is made of the schemas.
    Derived {
        /// The lines that differ.
        diff: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Extra => f.write_str("belongs to no event; remove it"),
            Self::NotJson { diff } => write!(f, "is no JSON\n{diff}"),
            Self::Comments { diff } => write!(f, "differs in comments only\n{diff}"),
            Self::Meaning { diff } => write!(f, "differs in what events may hold\n{diff}"),
            Self::Derived { diff } => write!(f, "differs from what is generated\n{diff}"),
        }
    }
}

/// How the files under `folder` differ from the documents, by their path in it.
///
/// # Errors
///
/// If the folder cannot be read. One that does not exist is empty.
pub fn compare(documents: &Documents, folder: &Path) -> io::Result<BTreeMap<String, Difference>> {
    let mut committed = BTreeMap::new();
    read_files(folder, "", &mut committed)?;
    let mut differences = BTreeMap::new();
    for (path, text) in documents {
        let difference = match committed.remove(path) {
            None => Some(Difference::Missing),
            Some(present) => difference(path, &present, text),
        };
        differences.extend(difference.map(|difference| (path.clone(), difference)));
    }
    differences.extend(committed.into_keys().map(|path| (path, Difference::Extra)));
    Ok(differences)
}

fn read_files(folder: &Path, under: &str, files: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(err),
    };
    for entry in entries {
        let entry = entry?;
        let path = format!("{under}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            read_files(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.insert(path, fs::read(entry.path())?);
        }
    }
    Ok(())
}

fn difference(path: &str, present: &[u8], text: &str) -> Option<Difference> {
    if present == text.as_bytes() {
        return None;
    }
    let diff = diff(&String::from_utf8_lossy(present), text);
    if !path.starts_with(SCHEMAS) {
        return Some(Difference::Derived { diff });
    }
    Some(match (meaning(present), meaning(text.as_bytes())) {
        (None, _) => Difference::NotJson { diff },
        (present, wanted) if present == wanted => Difference::Comments { diff },
        _ => Difference::Meaning { diff },
    })
}

fn meaning(text: &[u8]) -> Option<Value> {
    let schema: Value = serde_json::from_slice(text).ok()?;
    Some(json::without_comments(&schema))
}

fn diff(present: &str, wanted: &str) -> String {
    TextDiff::from_lines(present, wanted)
        .unified_diff()
        .context_radius(3)
        .header("committed", "what the types say")
        .to_string()
}
