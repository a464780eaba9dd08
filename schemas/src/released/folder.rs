//! The folder of the released files, in which others may stand.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{BaselineError, INDEX, Index};
use crate::documents::{Documents, GenerateError, write};

/// Where files of releases stand in the folder; nobody else's are looked at elsewhere.
const PLACES: [&str; 3] = ["", "json/", "read/"];

/// What became of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The files that were written, because they were not there as they are.
    pub written: Vec<String>,
    /// The files of the release before that this one has not.
    pub removed: Vec<String>,
    /// The files and folders that no release wrote. They stay.
    pub foreign: Vec<String>,
}

/// Why the folder is not, or not all, the new release.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// What was released before cannot be told.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// Somebody else's file stands where one of the release belongs. Nothing was written.
    #[error("{} is in the way, and no release wrote it: move it, or, if its index is lost, restore {INDEX} from version control", .0.display())]
    InTheWay(PathBuf),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] GenerateError),
    /// A file of the release before could not be removed, or the folder not be read.
    #[error("{} could not be tidied", path.display())]
    Tidy {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Puts the files of a release in the place of those of the one before. What no release wrote stays.
///
/// # Errors
///
/// [`ReleaseError`] if that would overwrite somebody else's file, or the folder cannot be written.
pub fn replace(documents: &Documents, folder: &Path) -> Result<Replaced, ReleaseError> {
    let before = released_files(folder)?;
    in_the_way(documents, &before, folder)?;
    let written = write(documents, folder)?;
    let gone = before
        .iter()
        .filter(|path| !documents.contains_key(*path) && is_ours(path));
    let mut removed = Vec::new();
    for path in gone {
        remove(&folder.join(path))?;
        removed.push(path.clone());
    }
    Ok(Replaced {
        written: written.into_iter().map(str::to_owned).collect(),
        removed,
        foreign: foreign(documents, folder)?,
    })
}

/// The files that the last release wrote; none if there is no release.
fn released_files(folder: &Path) -> Result<BTreeSet<String>, BaselineError> {
    match Index::read(folder) {
        Ok(index) => {
            let files = index.files().map(str::to_owned);
            Ok(files.chain([INDEX.to_owned()]).collect())
        }
        Err(BaselineError::Missing(_)) => Ok(BTreeSet::new()),
        Err(err) => Err(err),
    }
}

fn in_the_way(
    documents: &Documents,
    before: &BTreeSet<String>,
    folder: &Path,
) -> Result<(), ReleaseError> {
    for (path, text) in documents {
        let target = folder.join(path);
        let ours = before.contains(path) || fs::read(&target).is_ok_and(|it| it == text.as_bytes());
        if !ours && fs::symlink_metadata(&target).is_ok() {
            return Err(ReleaseError::InTheWay(target));
        }
    }
    Ok(())
}

/// Whether a release may have written it: an index that somebody made could name any file of the machine.
fn is_ours(path: &str) -> bool {
    let named = |folder| path.strip_prefix(folder);
    PLACES[1..]
        .iter()
        .find_map(named)
        .is_some_and(|name| !name.contains(['/', '\\']))
}

fn remove(path: &Path) -> Result<(), ReleaseError> {
    match fs::remove_file(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(|source| ReleaseError::Tidy {
            path: path.to_owned(),
            source,
        }),
    }
}

fn foreign(documents: &Documents, folder: &Path) -> Result<Vec<String>, ReleaseError> {
    let mut foreign = Vec::new();
    for place in PLACES {
        let path = folder.join(place);
        let tidy = |source| ReleaseError::Tidy {
            path: path.clone(),
            source,
        };
        let entries = match fs::read_dir(&path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(tidy)?,
        };
        for entry in entries {
            let name = entry.map_err(tidy)?.file_name();
            let name = format!("{place}{}", name.to_string_lossy());
            if !documents.contains_key(&name) && !PLACES.contains(&&*format!("{name}/")) {
                foreign.push(name);
            }
        }
    }
    foreign.sort_unstable();
    Ok(foreign)
}
