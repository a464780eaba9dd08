//! Finds a Docker engine, or installs and starts one.

use std::{
    env, fs,
    fs::File,
    mem,
    net::IpAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use xtask::{Watchdog, command};

use super::{
    docker::Docker,
    engine_use::{EngineUse, lock_file},
};

/// Where an engine listens that nobody has told otherwise.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// The engine of this machine that answers; else, where that is possible, one that is installed and
/// started now.
pub(super) fn find_or_start() -> anyhow::Result<Docker> {
    // Before we look: the one that answers may be another run's, which is about to stop it.
    let in_use = EngineUse::begin().context("the engine cannot be locked")?;
    Ok(find_or_start_now()?.used(in_use))
}

fn find_or_start_now() -> anyhow::Result<Docker> {
    let named = env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let is_named = named.is_some();
    let host = named.map_or_else(host_of_context, Ok);
    if let Ok(host) = &host
        && !is_local(host)
    {
        bail!(
            "the Docker engine at {host} is not on this machine, and the tests reach their servers at 127.0.0.1"
        );
    }
    let silence = match host.and_then(find) {
        Ok(docker) => return Ok(docker),
        Err(why) => why,
    };
    if is_named {
        return Err(silence.context("no Docker engine answers where DOCKER_HOST points"));
    }
    if !is_debian_as_root() {
        return Err(silence.context(
            "no Docker engine answers (it is installed and started only on Debian or Ubuntu, as root)",
        ));
    }
    if dockerd().is_none() {
        eprintln!("docker: no engine answers ({silence:#}); installing docker.io with apt-get");
        install()?;
        // With systemd, the package has started it.
        if let Ok(docker) = find(DEFAULT_HOST.to_owned()) {
            return Ok(docker);
        }
    }
    start()
}

/// Whether the ports that an engine publishes are ports of this machine.
fn is_local(host: &str) -> bool {
    let Some((scheme, rest)) = host.split_once("://") else {
        return false;
    };
    match scheme {
        "unix" | "npipe" => true,
        "tcp" | "http" | "https" => {
            let authority = rest.split('/').next().unwrap_or_default();
            let name = match authority.rsplit_once(':') {
                Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
                _ => authority,
            };
            let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
            address.map_or(name == "localhost", |address| address.is_loopback())
        }
        _ => false,
    }
}

fn find(host: String) -> anyhow::Result<Docker> {
    let docker = Docker::at(host);
    docker.answers()?;
    Ok(docker)
}

fn host_of_context() -> anyhow::Result<String> {
    let mut inspect = Command::new("docker");
    inspect.args([
        "context",
        "inspect",
        "--format",
        "{{.Endpoints.docker.Host}}",
    ]);
    let found =
        command::run(&mut inspect, Duration::from_secs(10)).context("no `docker` client")?;
    if !found.status.success() {
        bail!("`docker context inspect` said: {}", found.last_words());
    }
    let host = found.stdout.trim();
    Ok(if host.is_empty() { DEFAULT_HOST } else { host }.to_owned())
}

fn is_debian_as_root() -> bool {
    is_root() && fs::read_to_string("/etc/os-release").is_ok_and(|release| is_debian_like(&release))
}

/// Debian, Ubuntu, or what calls itself like one of them.
fn is_debian_like(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| matches!(*key, "ID" | "ID_LIKE"))
        .flat_map(|(_, value)| value.trim_matches(['"', '\'']).split_whitespace())
        .any(|name| matches!(name, "debian" | "ubuntu"))
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

fn install() -> anyhow::Result<()> {
    let get = |args: &[&str]| -> anyhow::Result<()> {
        let mut apt = Command::new("apt-get");
        apt.args(["-y", "-q", "-o", "DPkg::Lock::Timeout=120"])
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive");
        let done = command::run(&mut apt, Duration::from_mins(15)).context("no `apt-get`")?;
        if !done.status.success() {
            bail!("`apt-get {}` said: {}", args.join(" "), done.last_words());
        }
        Ok(())
    };
    get(&["update"])?;
    get(&["install", "docker.io"])
}

fn dockerd() -> Option<&'static str> {
    ["/usr/bin/dockerd", "/usr/sbin/dockerd"]
        .into_iter()
        .find(|path| Path::new(path).is_file())
}

fn start() -> anyhow::Result<Docker> {
    let docker = Docker::at(DEFAULT_HOST.to_owned());
    if Path::new("/run/systemd/system").is_dir() {
        eprintln!("docker: no engine answers; starting it with systemctl");
        let mut systemctl = Command::new("systemctl");
        systemctl.args(["start", "docker"]);
        let done = command::run(&mut systemctl, Duration::from_mins(1))?;
        if !done.status.success() {
            bail!("`systemctl start docker` said: {}", done.last_words());
        }
        docker.answers()?;
        return Ok(docker);
    }

    let program = dockerd().context("docker.io is installed, but there is no dockerd")?;
    let log = env::temp_dir().join("sgtickets-dockerd.log");
    eprintln!(
        "docker: no engine answers; starting {program} for this run, log in {}",
        log.display()
    );
    let file =
        File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
    let mut daemon = Daemon::start(program, file)?;
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        // Before the question about the engine: another run may have started one at the same time,
        // and then ours ends, and its engine answers.
        let ended = command::wait_until(
            &mut daemon.child,
            Instant::now() + Duration::from_millis(200),
        )?;
        match (docker.answers(), ended) {
            (Ok(()), Some(_)) => return Ok(docker),
            (Ok(()), None) => return Ok(docker.owning(daemon)),
            (Err(_), None) if Instant::now() < deadline => {}
            (Err(error), _) => {
                let log = fs::read_to_string(&log).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default();
                return Err(
                    error.context(format!("{program} does not start; it said last: {last}"))
                );
            }
        }
    }
}

/// An engine that we started, and stop.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    // For the case that this process is killed.
    watchdog: Option<Watchdog>,
}

impl Daemon {
    fn start(program: &str, log: File) -> anyhow::Result<Self> {
        let mut dockerd = Command::new(program);
        dockerd
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        command::own_group(&mut dockerd);
        let child = dockerd
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        // Another run may use it meanwhile. `flock` is there where we start engines: on Debian it is essential.
        let watchdog = Watchdog::arm(&format!(
            "sleep 10; flock --nonblock '{}' --command 'kill {}'",
            lock_file().display(),
            child.id()
        ));
        Ok(Self {
            child,
            watchdog: watchdog.ok(),
        })
    }

    /// Asks it to end, and kills it if it has not after half a minute.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        self.watchdog = None;
        let deadline = Instant::now() + Duration::from_secs(30);
        Ok(command::stop(&mut self.child, deadline)?)
    }

    /// Lets it run on after us.
    pub(super) fn leave_running(mut self) {
        self.watchdog = None;
        mem::forget(self);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("docker: the engine we started could not be stopped: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_is_local_if_its_ports_are_ours() {
        #[track_caller]
        fn check(host: &str, expected: bool) {
            assert_eq!(is_local(host), expected, "{host:?}");
        }
        check(DEFAULT_HOST, true);
        check("unix:///run/user/1000/docker.sock", true);
        check("npipe:////./pipe/docker_engine", true);
        check("tcp://127.0.0.1:2375", true);
        check("tcp://localhost:2376", true);
        check("tcp://[::1]:2375", true);
        check("tcp://docker:2375", false);
        check("tcp://192.168.1.7:2375", false);
        check("tcp://localhost.example.org:2375", false);
        check("tcp://127.0.0.1.example.org", false);
        check("ssh://root@localhost", false);
        check("", false);
    }

    #[track_caller]
    fn check(os_release: &str, expected: bool) {
        assert_eq!(is_debian_like(os_release), expected, "{os_release:?}");
    }

    #[test]
    fn debian_and_what_is_like_it_are_recognised() {
        check("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n", true);
        check("ID=ubuntu\nID_LIKE=debian\n", true);
        check("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", true);
        check("ID=fedora\n", false);
        check("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", false);
        check("NAME=\"no debian\"\n", false);
        check("", false);
    }
}
