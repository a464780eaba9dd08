//! What we ask of a Docker engine: the server's image, and that nothing is left behind.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, bail};
use xtask::{
    RunId, Watchdog,
    command::{self, Finished},
    containers::{LABEL, LOCAL_IMAGE, PUBLIC_IMAGE},
    nats_server::{self, Platform},
};

use super::{engine::Daemon, engine_use::EngineUse};

/// An engine, reached through the `docker` client.
#[derive(Debug)]
pub(super) struct Docker {
    host: String,
    daemon: Option<Daemon>,
    in_use: Option<EngineUse>,
    // Removes the containers if this process is killed.
    watchdog: Option<Watchdog>,
}

impl Docker {
    pub(super) fn at(host: String) -> Self {
        Self {
            host,
            daemon: None,
            in_use: None,
            watchdog: None,
        }
    }

    pub(super) fn owning(mut self, daemon: Daemon) -> Self {
        self.daemon = Some(daemon);
        self
    }

    /// Keeps its owner from stopping it.
    pub(super) fn used(mut self, in_use: EngineUse) -> Self {
        self.in_use = Some(in_use);
        self
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Asks whether it is there.
    pub(super) fn answers(&self) -> anyhow::Result<()> {
        self.ask(&["version", "--format", "{{.Server.Version}}"], 10)
            .map(drop)
    }

    /// An image of the server that the engine has: it is there, or pulled, or built.
    pub(super) fn server_image(&self) -> anyhow::Result<&'static str> {
        for image in [PUBLIC_IMAGE, LOCAL_IMAGE] {
            if self.ask(&["image", "inspect", image], 30).is_ok() {
                return Ok(image);
            }
        }
        eprintln!("docker: pulling {PUBLIC_IMAGE}");
        let Err(error) = self.ask(&["pull", "--quiet", PUBLIC_IMAGE], 180) else {
            return Ok(PUBLIC_IMAGE);
        };
        eprintln!("docker: {error:#}; building {LOCAL_IMAGE} from the pinned server instead");
        if let Err(error) = self.build() {
            // The next run would take it for good. What cannot be removed was not built.
            let _ = self.ask(&["image", "rm", "--force", LOCAL_IMAGE], 30);
            return Err(error);
        }
        Ok(LOCAL_IMAGE)
    }

    fn build(&self) -> anyhow::Result<()> {
        let architecture = self.ask(&["version", "--format", "{{.Server.Arch}}"], 10)?;
        let architecture = architecture.stdout.trim();
        let platform = Platform::of_engine(architecture)
            .with_context(|| format!("no server is pinned for {architecture} containers"))?;
        let server = nats_server::pinned(platform)?;

        let context = tempfile::tempdir()?;
        fs::copy(&server.path, context.path().join("nats-server"))?;
        fs::write(
            context.path().join("Dockerfile"),
            "FROM scratch\n\
             COPY nats-server /nats-server\n\
             EXPOSE 4222 8222 6222\n\
             ENTRYPOINT [\"/nats-server\"]\n",
        )?;
        let folder = context.path().display().to_string();
        self.ask(&["build", "--quiet", "--tag", LOCAL_IMAGE, &folder], 120)?;

        // Nothing else is in there, so a program that is not static would show now, not in a test.
        let ran = self.ask(&["run", "--rm", LOCAL_IMAGE, "--version"], 60)?;
        let version = server.version.to_string();
        if !ran.stdout.contains(&version) {
            bail!("the image says {:?}, not {version}", ran.stdout.trim());
        }
        Ok(())
    }

    /// Arms a watchdog that removes this run's containers and networks if this process is killed.
    pub(super) fn guard(&mut self, run_id: &RunId) {
        let host = &self.host;
        // Without a shell the next run has to do it.
        self.watchdog = Watchdog::arm(&format!(
            "DOCKER_HOST='{host}'; export DOCKER_HOST; \
             docker ps --all --quiet --filter 'label={LABEL}={run_id}' \
             | while read -r id; do docker rm --force --volumes \"$id\"; done; \
             docker network ls --quiet --filter 'label={LABEL}={run_id}' \
             | while read -r id; do docker network rm \"$id\"; done"
        ))
        .ok();
    }

    /// Removes this run's containers and networks, and those of runs that were killed.
    pub(super) fn remove_leftovers(&self, run_id: &RunId) -> anyhow::Result<()> {
        let containers = self.leftovers(&["ps", "--all"], run_id)?;
        self.remove(&["rm", "--force", "--volumes"], &containers)?;
        // A network goes when nobody is on it.
        let networks = self.leftovers(&["network", "ls"], run_id)?;
        self.remove(&["network", "rm"], &networks)
    }

    /// What carries our label and belongs to this run, or to one that is over.
    fn leftovers(&self, list: &[&str], run_id: &RunId) -> anyhow::Result<Vec<String>> {
        let format = format!("{{{{.ID}}}} {{{{.Label \"{LABEL}\"}}}}");
        let filter = format!("label={LABEL}");
        let found = self.ask(
            &[list, &["--filter", &filter, "--format", &format]].concat(),
            60,
        )?;
        let stale = found.stdout.lines().filter_map(|line| {
            let (id, owner) = line.split_once(' ').unwrap_or((line, ""));
            // What has no id of ours belongs to nobody who lives.
            let owner = owner.parse::<RunId>().ok();
            owner
                .is_none_or(|owner| owner == *run_id || owner.is_over())
                .then(|| id.to_owned())
        });
        Ok(stale.collect())
    }

    fn remove(&self, verb: &[&str], ids: &[String]) -> anyhow::Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        self.ask(&[verb, &ids[..]].concat(), 120).map(drop)
    }

    /// Stops the engine if it is ours and nobody else uses it.
    pub(super) fn close(&mut self) -> anyhow::Result<()> {
        self.watchdog = None;
        let in_use = self.in_use.take();
        let Some(mut daemon) = self.daemon.take() else {
            return Ok(());
        };
        // Held until the engine is gone: whoever comes meanwhile waits, and then finds none.
        let nobody_else = in_use.map(EngineUse::end).transpose()?.flatten();
        let running = self.ask(&["ps", "--quiet"], 30)?;
        if nobody_else.is_some() && running.stdout.trim().is_empty() {
            return daemon.stop();
        }
        eprintln!("docker: others use the engine we started: left running");
        daemon.leave_running();
        Ok(())
    }

    fn ask(&self, args: &[&str], seconds: u64) -> anyhow::Result<Finished> {
        let mut docker = Command::new("docker");
        docker.args(args).env("DOCKER_HOST", &self.host);
        let verb = args.first().copied().unwrap_or_default();
        let done = command::run(&mut docker, Duration::from_secs(seconds))
            .with_context(|| format!("`docker {verb}` did not run"))?;
        if !done.status.success() {
            bail!("`docker {verb}` said: {}", done.last_words());
        }
        Ok(done)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            eprintln!("docker: {error:#}");
        }
    }
}
