//! Any two schemas or folders of schemas against each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value;

use super::reader::Reader;
use super::report::{Break, Direction, Found, Report};
use super::schema_file::{SchemaError, is_schema, readable};
use super::{Finding, Judgement};

/// Why schemas cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// A file or folder cannot be read.
    #[error("{} could not be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is no JSON.
    #[error("{} is no JSON", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file holds no schema.
    #[error("{} is no JSON Schema that can be judged", path.display())]
    NoSchema {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SchemaError,
    },
    /// A folder has no schema in it.
    #[error("{} has no JSON Schema in it, in no file whose name ends in .json", .0.display())]
    Empty(PathBuf),
    /// One is a file, and the other a folder.
    #[error("{} and {} are not both files or both folders", .0.display(), .1.display())]
    FileAndFolder(PathBuf, PathBuf),
}

/// Judges the schemas at `new` against those at `old`: two files, or two folders whose files are paired
/// by their paths. Each is the schema of what is written, and of the reader who writes the same.
///
/// # Errors
///
/// [`FilesError`] if there is nothing to compare.
pub fn compare_files(old: &Path, new: &Path, reader: Reader) -> Result<Report, FilesError> {
    if is_folder(old)? != is_folder(new)? {
        return Err(FilesError::FileAndFolder(old.to_owned(), new.to_owned()));
    }
    let mut report = Report::against(old.display().to_string());
    let (before, mut after) = (schemas_at(old)?, schemas_at(new)?);
    for (schemas, other) in [(&before, new), (&after, old)] {
        for name in schemas.keys() {
            is_schema_if_there(&other.join(name))?;
        }
    }
    for (name, old) in &before {
        let Some(new) = after.remove(name) else {
            report.breaks.push(Break {
                event: name.clone(),
                form: None,
                direction: None,
                changes: vec![Finding {
                    path: "$".to_owned(),
                    what: "the schema is gone".to_owned(),
                }],
                groups: Vec::new(),
                shown: None,
                instead: "keep it while its events may still be read".to_owned(),
            });
            continue;
        };
        let pairs = [
            (
                Direction::NewReadsOld,
                old,
                &new,
                "let the new schema allow what the old one does",
            ),
            (
                Direction::OldReadsNew,
                &new,
                old,
                "write what the old schema allows, or make it a new form",
            ),
        ];
        for (direction, written, reads, instead) in pairs {
            let judgement = Judgement::by_written_schema(written, reads, reader);
            let found = Found {
                event: name,
                form: None,
                direction: Some(direction),
                groups: &[],
                instead: instead.to_owned(),
            };
            report.enter(&judgement, found);
        }
    }
    for name in after.keys() {
        report.note(name, "is new");
    }
    Ok(report)
}

/// What is a schema on one side must be one on the other, if it is there: passed over, it would be called new or gone.
fn is_schema_if_there(path: &Path) -> Result<(), FilesError> {
    if path.is_file() {
        schema_in(path, parsed(path)?)?;
    }
    Ok(())
}

fn is_folder(path: &Path) -> Result<bool, FilesError> {
    let metadata = fs::metadata(path).map_err(unreadable(path))?;
    Ok(metadata.is_dir())
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> FilesError {
    |source| FilesError::Read {
        path: path.to_owned(),
        source,
    }
}

fn schemas_at(path: &Path) -> Result<BTreeMap<String, Value>, FilesError> {
    let mut schemas = BTreeMap::new();
    if is_folder(path)? {
        collect(path, "", &mut Vec::new(), &mut schemas)?;
        if schemas.is_empty() {
            return Err(FilesError::Empty(path.to_owned()));
        }
    } else {
        // Two files are a pair whatever they are called.
        schemas.insert("schema".to_owned(), schema_in(path, parsed(path)?)?);
    }
    Ok(schemas)
}

/// Other JSON files may stand beside schemas: an index, an AsyncAPI document. They are passed over.
fn collect(
    folder: &Path,
    under: &str,
    within: &mut Vec<PathBuf>,
    schemas: &mut BTreeMap<String, Value>,
) -> Result<(), FilesError> {
    // A link may lead back to a folder that it is in.
    let real = folder.canonicalize().map_err(unreadable(folder))?;
    if within.contains(&real) {
        return Ok(());
    }
    within.push(real);
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{under}{name}");
        if path.is_dir() {
            collect(&path, &format!("{name}/"), within, schemas)?;
        } else if path.is_file()
            && path
                .extension()
                .is_some_and(|extension| extension == "json")
        {
            let value = parsed(&path)?;
            if is_schema(&value) {
                schemas.insert(name, schema_in(&path, value)?);
            }
        }
    }
    within.pop();
    Ok(())
}

fn parsed(path: &Path) -> Result<Value, FilesError> {
    let text = fs::read(path).map_err(unreadable(path))?;
    serde_json::from_slice(&text).map_err(|source| FilesError::NotJson {
        path: path.to_owned(),
        source,
    })
}

fn schema_in(path: &Path, value: Value) -> Result<Value, FilesError> {
    readable(value).map_err(|source| FilesError::NoSchema {
        path: path.to_owned(),
        source,
    })
}
