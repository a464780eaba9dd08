use std::{
    ffi::OsStr,
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

/// Longer than anything is made in a scratch folder.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);

/// A folder to make something in that is then renamed to its place beside it, whole or not at all.
///
/// It is removed with its value. A process that is killed leaves its own behind, so this also removes
/// those in `parent` whose names begin with `prefix`, if they are older than an hour.
///
/// # Errors
///
/// It cannot be created.
pub fn scratch_dir(parent: &Path, prefix: &str) -> io::Result<TempDir> {
    remove_abandoned(parent, prefix);
    tempfile::Builder::new().prefix(prefix).tempdir_in(parent)
}

/// What cannot be removed is left to the next one.
fn remove_abandoned(parent: &Path, prefix: &str) {
    let is_ours = |name: &OsStr| name.to_string_lossy().starts_with(prefix);
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_ours(&entry.file_name())) {
        let begun = entry.metadata().and_then(|found| found.modified());
        let age = begun.map(|begun| SystemTime::now().duration_since(begun).unwrap_or_default());
        if age.is_ok_and(|age| age > ABANDONED_AFTER) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn folder_of_a_killed_process_is_removed_after_an_hour() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str, age| {
            let path = parent.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("half"), "of it").unwrap();
            let folder = File::open(&path).unwrap();
            folder.set_modified(SystemTime::now() - age).unwrap();
            path
        };
        let killed = make(".release-1", ABANDONED_AFTER + Duration::from_secs(1));
        let at_work = make(".release-2", Duration::from_mins(5));
        let finished = make("nats-server", ABANDONED_AFTER * 24);

        let ours = scratch_dir(parent.path(), ".release-").unwrap();

        assert!(!killed.exists());
        assert!(at_work.exists());
        assert!(finished.exists());
        assert!(ours.path().exists());
    }
}
