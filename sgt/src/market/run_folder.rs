use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::NamedTempFile;
use xtask::reap_orphans;

/// The folder of one run: databases, streams and logs. Dropped, it is removed.
///
/// Beside it lies a file that is locked for as long as the run lives: the system lets go of it with
/// the process, however that ends. It is locked before the folder is there, so a folder without a
/// locked file is one that a killed run left behind.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    parent: PathBuf,
    is_kept: bool,
    lock: Option<NamedTempFile>,
}

impl RunFolder {
    /// Removes what killed runs of the same command left behind, their servers too, and makes a fresh folder
    /// beside those of runs that go on.
    ///
    /// # Errors
    ///
    /// If the folder for temporary files cannot be used.
    pub(crate) fn create(command: &str) -> anyhow::Result<Self> {
        Self::create_in(&parent(command))
    }

    fn create_in(parent: &Path) -> anyhow::Result<Self> {
        Self::try_create_in(parent)
            // The last run that was here has just taken the parent away.
            .or_else(|_| Self::try_create_in(parent))
            .with_context(|| format!("folder {} cannot be used", parent.display()))
    }

    fn try_create_in(parent: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        remove_abandoned(parent)?;
        let lock = tempfile::Builder::new()
            .prefix("run-")
            .suffix(".lock")
            .tempfile_in(parent)?;
        lock.as_file().lock()?;
        let path = lock.path().with_extension("");
        fs::create_dir(&path)?;
        Ok(Self {
            path,
            parent: parent.to_owned(),
            is_kept: false,
            lock: Some(lock),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The address of a database in it.
    pub(crate) fn database(&self, name: &str) -> String {
        format!("sqlite://{}", self.path.join(name).display())
    }

    /// Leaves the folder for a look at it. The next run removes it.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        self.path.clone()
    }

    /// Moves the folder to where no run removes it.
    ///
    /// # Errors
    ///
    /// If there is no place for it. It is then kept until the next run.
    pub(crate) fn keep_for_ever(mut self) -> io::Result<PathBuf> {
        self.is_kept = true;
        let mut beside = self.parent.clone().into_os_string();
        beside.push("-kept");
        let kept = Path::new(&beside).join(self.path.file_name().unwrap_or_default());
        fs::create_dir_all(&beside)?;
        fs::rename(&self.path, &kept)?;
        Ok(kept)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // What fails here is left to the next run.
        if !self.is_kept {
            let _ = fs::remove_dir_all(&self.path);
        }
        drop(self.lock.take());
        // Only if it is empty, so never under another run.
        let _ = fs::remove_dir(&self.parent);
    }
}

/// Where the runs of this user are. Not by name: a process may have none in its environment.
#[cfg(unix)]
fn parent(command: &str) -> PathBuf {
    let user = rustix::process::geteuid();
    std::env::temp_dir().join(format!("sgt-{command}-{}", user.as_raw()))
}

/// Where the runs of this user are: here each has a folder for temporary files.
#[cfg(not(unix))]
fn parent(command: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sgt-{command}"))
}

fn remove_abandoned(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let dir = entry?.path();
        if !dir.is_dir() {
            continue;
        }
        let lock = dir.with_extension("lock");
        match File::open(&lock) {
            Ok(file) => match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(err)) => return Err(err),
            },
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(err),
        }
        reap_orphans(&dir)?;
        for removed in [fs::remove_dir_all(&dir), fs::remove_file(&lock)] {
            match removed {
                // Another run tidies up as well.
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_a_run_that_goes_on_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let first = RunFolder::create_in(parent.path()).unwrap();
        let second = RunFolder::create_in(parent.path()).unwrap();
        assert!(first.path().is_dir());
        assert!(second.path().is_dir());
    }

    #[test]
    fn folder_that_was_kept_is_removed_by_the_next_run() {
        let parent = tempfile::tempdir().unwrap();
        let kept = RunFolder::create_in(parent.path()).unwrap().keep();
        assert!(kept.is_dir());
        let next = RunFolder::create_in(parent.path()).unwrap();
        assert!(!kept.exists());
        assert!(next.path().is_dir());
    }

    #[test]
    fn folder_that_is_kept_for_ever_outlives_the_next_run() {
        let temporary = tempfile::tempdir().unwrap();
        let parent = temporary.path().join("sgt-soak");
        let run = RunFolder::create_in(&parent).unwrap();
        fs::write(run.path().join("file"), "text").unwrap();
        let kept = run.keep_for_ever().unwrap();
        drop(RunFolder::create_in(&parent).unwrap());
        assert!(kept.join("file").exists());
        assert!(!parent.exists());
    }

    #[test]
    fn folder_of_a_killed_run_is_removed_by_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let killed = parent.path().join("run-killed");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.with_extension("lock"), "").unwrap();

        let _next = RunFolder::create_in(parent.path()).unwrap();

        assert!(!killed.exists());
        assert!(!killed.with_extension("lock").exists());
    }

    #[cfg(unix)]
    #[test]
    fn users_without_a_name_have_folders_of_their_own() {
        use std::os::unix::fs::MetadataExt as _;

        let ours = tempfile::tempdir().unwrap().path().metadata().unwrap();
        assert!(parent("demo").ends_with(format!("sgt-demo-{}", ours.uid())));
    }

    #[test]
    fn last_run_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path().join("sgt-demo");
        let run = RunFolder::create_in(&parent).unwrap();
        fs::write(run.path().join("file"), "text").unwrap();
        drop(run);
        assert!(!parent.exists());
    }
}
