//! Who uses the Docker engine that one of us started.

use std::{
    env,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use xtask::nats_server;

/// Says to other runs on this machine that the engine is in use, for as long as this process lives or
/// [`end`](Self::end) is called.
#[derive(Debug)]
pub(super) struct EngineUse {
    lock: File,
}

/// Nobody uses the engine, and until this is dropped nobody begins to.
#[derive(Debug)]
pub(super) struct NobodyElse {
    _lock: File,
}

impl EngineUse {
    /// Begins to use it. Waits while its owner stops it.
    pub(super) fn begin() -> io::Result<Self> {
        Self::begin_at(&lock_file())
    }

    fn begin_at(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let lock = File::options().create(true).append(true).open(path)?;
        lock.lock_shared()?;
        Ok(Self { lock })
    }

    /// Uses it no longer. `None` if others still do.
    pub(super) fn end(self) -> io::Result<Option<NobodyElse>> {
        self.lock.unlock()?;
        match self.lock.try_lock() {
            Ok(()) => Ok(Some(NobodyElse { _lock: self.lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(err)) => Err(err),
        }
    }
}

/// One for all runs of this user.
pub(super) fn lock_file() -> PathBuf {
    nats_server::cache_dir()
        .unwrap_or_else(env::temp_dir)
        .join("docker-engine.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_is_alone_only_when_every_other_run_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let begin = || EngineUse::begin_at(&dir.path().join("cache/lock")).unwrap();
        let (owner, guest) = (begin(), begin());

        assert!(owner.end().unwrap().is_none(), "the guest is still there");
        assert!(guest.end().unwrap().is_some(), "nobody is");

        let (owner, guest) = (begin(), begin());
        drop(guest);
        assert!(owner.end().unwrap().is_some(), "one that is killed is gone");
    }
}
