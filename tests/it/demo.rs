//! The demo as whoever types `cargo demo` meets it: what it prints, how it ends, and what it leaves behind.

#![cfg(unix)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::Subjects;
use integration_tests::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use xtask::{Watchdog, command, nats_server, reap_orphans};

/// Longer than any of these demos, on a machine that does other things too.
const END_WITHIN: Duration = Duration::from_mins(2);

/// A folder for temporary files that nobody else uses. Whatever a test has found, no server is left when it is gone.
struct Folder(TempDir);

/// A demo in a process of its own.
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    // Dismissed with the child: its number may belong to another process afterwards.
    watchdog: Option<Watchdog>,
}

/// How a demo ended, and what it had to say that nobody has read yet.
#[derive(Debug)]
struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// Whether the demo finds a shell for its watchdogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shell {
    There,
    Missing,
}

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// The folders of the runs that are there, and what else the demo has there.
    fn runs(&self) -> Vec<PathBuf> {
        let parents = content(self.0.path());
        parents.iter().flat_map(|parent| content(parent)).collect()
    }

    fn is_empty(&self) -> bool {
        content(self.0.path()).is_empty()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for run in self.runs() {
            // What cannot be done here was not needed, in all tests that pass.
            let _ = reap_orphans(&run);
        }
    }
}

impl Demo {
    fn start(folder: &Folder, args: &[&str], shell: Shell) -> Self {
        let server = nats_server::locate()
            .unwrap_or_else(|err| panic!("the integration tests need a NATS server: {err}"));
        let folder = folder.0.path();
        let mut demo = Command::new(env!("CARGO_BIN_EXE_sgt-under-test"));
        demo.args(["demo", "--json"])
            .args(args)
            .env("TMPDIR", folder)
            .env("NATS_SERVER", server.path)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if shell == Shell::Missing {
            demo.env("PATH", folder);
        }
        command::own_group(&mut demo);
        let mut child = demo.spawn().unwrap();
        let pid = child.id();
        Self {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            stderr: BufReader::new(child.stderr.take().unwrap()),
            child,
            watchdog: Watchdog::arm(&format!("kill -9 {pid}")).ok(),
        }
    }

    /// Reads on until it says a line that begins so, and returns the line.
    fn until_it_says(&mut self, beginning: &str) -> String {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "it ended before it said {beginning:?}: {said}");
            if line.starts_with(beginning) {
                return line;
            }
            said += &line;
        }
    }

    /// Where its server is.
    fn nats_url(&mut self) -> String {
        let line = self.until_it_says("nats-server ");
        let (_, url) = line.trim().rsplit_once(' ').unwrap();
        url.to_owned()
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn end(mut self) -> Ended {
        let status = command::wait_until(&mut self.child, Instant::now() + END_WITHIN).unwrap();
        let Some(status) = status else {
            panic!("the demo did not end within {END_WITHIN:?}");
        };
        let mut ended = Ended {
            status,
            stdout: String::new(),
            stderr: String::new(),
        };
        self.watchdog = None;
        self.stdout.read_to_string(&mut ended.stdout).unwrap();
        self.stderr.read_to_string(&mut ended.stderr).unwrap();
        ended
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Whoever was waited for is not there any more, and that is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_there(nats_url: &str) -> bool {
    TcpStream::connect(nats_url.trim_start_matches("nats://")).is_ok()
}

/// What lies in a folder; nothing if there is none.
fn content(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn sound_demo_prints_one_object_and_leaves_nothing() {
    let folder = Folder::new();

    let ended = Demo::start(&folder, &["--tickets", "20"], Shell::There).end();

    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let [line] = ended.stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("one line: {ended:?}");
    };
    let report: Value = serde_json::from_str(line).unwrap();
    assert_eq!(report["sale"]["listed"], 20);
    let verdicts = report["invariants"].as_array().unwrap();
    assert!(verdicts.len() > 10, "{verdicts:?}");
    assert!(verdicts.iter().all(|verdict| verdict["ok"] == true));
    assert!(folder.is_empty(), "{:?}", folder.runs());
}

#[test]
fn interrupted_demo_stops_in_order_and_leaves_nothing() {
    let folder = Folder::new();
    let mut demo = Demo::start(&folder, &[], Shell::There);
    let nats = demo.nats_url();
    demo.until_it_says("listing ");

    demo.send(Signal::INT);
    let ended = demo.end();

    // Whatever did not stop in order would be an error, and 1.
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    assert_eq!(ended.stdout, "");
    assert!(!is_there(&nats), "the server is still there");
    assert!(folder.is_empty(), "{:?}", folder.runs());
}

#[tokio::test]
async fn demo_that_is_interrupted_while_it_starts_leaves_nothing() {
    let folder = Folder::new();
    let demo = Demo::start(&folder, &[], Shell::There);
    until("the demo starts its server", async || {
        let is_starting = |run: &PathBuf| run.join("nats").is_dir();
        let runs = folder.runs();
        if runs.iter().any(is_starting) {
            Ok(())
        } else {
            Err(runs)
        }
    })
    .await;

    demo.send(Signal::INT);
    let ended = demo.end();

    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    assert!(folder.is_empty(), "{:?}", folder.runs());
}

#[test]
fn next_demo_removes_what_a_killed_one_left() {
    let folder = Folder::new();
    // Without a shell there is no watchdog, and the server goes on.
    let mut killed = Demo::start(&folder, &[], Shell::Missing);
    let orphan = killed.nats_url();
    killed.until_it_says("started ");
    killed.send(Signal::KILL);
    killed.end();
    assert!(is_there(&orphan), "the server is gone already");
    assert!(!folder.is_empty());

    let next = Demo::start(&folder, &["--tickets", "1"], Shell::There).end();

    assert_eq!(next.status.code(), Some(0), "{next:?}");
    assert!(!is_there(&orphan), "the server is still there");
    assert!(folder.is_empty(), "{:?}", folder.runs());
}

#[test]
fn demo_passes_where_everybody_may_do_no_more_than_they_must() {
    let folder = Folder::new();
    let demo = Demo::start(
        &folder,
        &["--tickets", "20", "--least-privilege"],
        Shell::There,
    );

    let ended = demo.end();

    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[tokio::test]
async fn demo_with_a_broken_invariant_fails_and_leaves_its_databases() {
    let folder = Folder::new();
    let mut demo = Demo::start(&folder, &["--tickets", "20"], Shell::There);
    let client = async_nats::connect(demo.nats_url()).await.unwrap();
    demo.until_it_says("started ");

    // Nobody ordered this, and nobody can read it.
    let subject = format!("{}.nobody", Subjects::OrderCompleted);
    let jetstream = async_nats::jetstream::new(client);
    let sent = jetstream.publish(subject, "{}".into()).await.unwrap();
    sent.await.unwrap();
    let ended = demo.end();

    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let broken: Vec<_> = report["invariants"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|verdict| verdict["ok"] == false)
        .map(|verdict| verdict["invariant"].as_str().unwrap())
        .collect();
    assert_eq!(
        broken,
        [
            "every change was published, and nothing else",
            "no dead letters"
        ]
    );
    let kept = folder.runs();
    assert!(
        kept.iter().any(|run| run.join("orders.db").is_file()),
        "{kept:?}"
    );
}
