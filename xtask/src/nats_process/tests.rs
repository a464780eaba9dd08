//! Against the real server, if one is on this machine already: `cargo test` fetches nothing.

use std::{env, io::Read as _, net::TcpStream, thread};

use super::*;
use crate::nats_server;

/// The server that is at hand, or `None` with a word about it.
///
/// The integration tests run the same process for real; these are the parts they cannot see.
fn server() -> Option<PathBuf> {
    let found = nats_server::at_hand();
    if found.is_none() {
        eprintln!("no nats-server at hand: nothing tested here");
    }
    Some(found?.path)
}

#[track_caller]
fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn says_info(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let mut start = [0; 5];
    stream.read_exact(&mut start).is_ok() && &start == b"INFO "
}

fn log(nats: &NatsProcess) -> String {
    fs::read_to_string(nats.log_file()).unwrap()
}

#[test]
fn server_starts_stops_and_comes_back_on_its_port() {
    let Some(server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();

    let mut nats = NatsProcess::builder(server, dir.path()).start().unwrap();
    let url = nats.url();
    assert!(says_info(nats.port()));

    nats.stop().unwrap();
    assert!(!says_info(nats.port()));
    assert_eq!(nats.pid(), None);
    assert!(log(&nats).contains("Exiting"), "a stop in order");

    nats.restart().unwrap();
    assert!(says_info(nats.port()));
    assert_eq!(nats.url(), url);
}

#[test]
fn store_is_not_limited_by_the_disk() {
    let Some(server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    let limit = |config| {
        let nats = NatsProcess::builder(&server, dir.path())
            .config(config)
            .start()
            .unwrap();
        let log = log(&nats);
        let line = log.lines().rfind(|line| line.contains("Max Storage:"));
        line.unwrap().rsplit_once(':').unwrap().1.trim().to_owned()
    };

    assert_eq!(limit(""), "1.00 PB");
    assert_eq!(limit("jetstream { max_file_store: 5GB }"), "5.00 GB");
}

#[test]
fn paused_server_is_silent_until_it_is_resumed() {
    let Some(server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    let nats = NatsProcess::builder(server, dir.path()).start().unwrap();

    nats.pause().unwrap();
    assert!(!says_info(nats.port()));
    nats.pause().expect("it is paused already");

    nats.resume().unwrap();
    assert!(says_info(nats.port()));
}

#[test]
fn server_that_retires_ends_by_itself_and_comes_back() {
    let Some(server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut nats = NatsProcess::builder(server, dir.path())
        .config("lame_duck_duration: 30s\nlame_duck_grace_period: 1s")
        .start()
        .unwrap();

    nats.retire().unwrap();
    assert!(!says_info(nats.port()));
    assert_eq!(nats.pid(), None);
    assert!(log(&nats).contains("Entering lame duck mode"), "told to");
    assert!(log(&nats).contains("Exiting"), "not killed");
    nats.retire().expect("it is gone already");

    nats.restart().unwrap();
    assert!(says_info(nats.port()));
}

#[test]
fn dropped_server_is_gone() {
    let Some(server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();

    let nats = NatsProcess::builder(server, dir.path()).start().unwrap();
    let port = nats.port();
    drop(nats);

    assert!(!says_info(port));
}

/// Run by the next test in a process of its own; by itself it does nothing.
#[test]
fn owner_that_waits_to_be_killed() {
    let Some(dir) = env::var_os("OWNER_THAT_WAITS").map(PathBuf::from) else {
        return;
    };
    let nats = NatsProcess::builder(server().unwrap(), &dir)
        .start()
        .unwrap();
    fs::write(dir.join("port.part"), nats.port().to_string()).unwrap();
    fs::rename(dir.join("port.part"), dir.join("port")).unwrap();
    loop {
        thread::park();
    }
}

#[test]
fn server_dies_with_an_owner_that_is_killed() {
    if server().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "nats_process::tests::owner_that_waits_to_be_killed",
        ])
        .env("OWNER_THAT_WAITS", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let port = wait_for("the server", || {
        fs::read_to_string(dir.path().join("port"))
            .ok()?
            .parse()
            .ok()
    });
    assert!(says_info(port));

    owner.kill().unwrap();
    owner.wait().unwrap();

    wait_for("its end", || (!says_info(port)).then_some(()));
}

#[test]
fn killed_server_can_be_restarted() {
    let Some(server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut nats = NatsProcess::builder(server, dir.path()).start().unwrap();

    nats.kill().unwrap();
    assert!(matches!(nats.pause(), Err(SignalError::NotRunning)));

    nats.restart().unwrap();
    assert!(says_info(nats.port()));
}

#[test]
fn wrong_configuration_is_told_with_the_log() {
    let Some(server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();

    let error = NatsProcess::builder(server, dir.path())
        .config("max_payload: \"a lot\"")
        .start()
        .unwrap_err();

    assert!(matches!(
        error,
        StartError::NotReady {
            why: NotReady::Ended(_),
            ..
        }
    ));
    assert!(error.to_string().contains("nats.conf:"), "{error}");
}

#[test]
fn taken_port_is_told() {
    let Some(server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();

    let error = NatsProcess::builder(server, dir.path())
        .port(taken.local_addr().unwrap().port())
        .start()
        .unwrap_err();

    assert!(
        error.to_string().contains("address already in use"),
        "{error}"
    );
}

#[test]
fn server_of_a_living_owner_is_no_orphan() {
    let Some(server) = server() else { return };
    let parent = tempfile::tempdir().unwrap();
    let nats = NatsProcess::builder(server, parent.path().join("run"))
        .start()
        .unwrap();

    assert_eq!(reap_orphans(parent.path()).unwrap(), [] as [PathBuf; 0]);
    assert!(says_info(nats.port()));
}

#[test]
fn server_whose_owner_is_gone_is_reaped() {
    let Some(server) = server() else { return };
    let parent = tempfile::tempdir().unwrap();
    let mut nats = NatsProcess::builder(server, parent.path().join("run"))
        .start()
        .unwrap();
    let dir = nats.dir().to_owned();
    // As if another process had started it, and were gone.
    let pid = nats.pid().unwrap();
    fs::write(dir.join(orphans::PID_FILE), format!("{pid}\n1\n")).unwrap();

    assert_eq!(reap_orphans(parent.path()).unwrap(), [dir]);

    let running = nats.running.as_mut().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    assert!(
        command::wait_until(&mut running.child, deadline)
            .unwrap()
            .is_some()
    );
}

#[test]
fn process_that_is_no_server_is_never_reaped() {
    let parent = tempfile::tempdir().unwrap();
    let mut other = Command::new("sleep").arg("30").spawn().unwrap();
    fs::write(
        parent.path().join(orphans::PID_FILE),
        format!("{}\n1\n", other.id()),
    )
    .unwrap();

    assert_eq!(reap_orphans(parent.path()).unwrap(), [] as [PathBuf; 0]);

    assert!(other.try_wait().unwrap().is_none(), "it was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}
