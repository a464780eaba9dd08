use std::env;
use std::process::Command;

use uuid::Uuid;
use xtask::containers::LABEL;
use xtask::{RunId, Watchdog};

use super::container::docker;

/// A network of the engine, for containers that are to find each other by name, and can be taken off it.
#[derive(Debug)]
pub(crate) struct Network {
    name: String,
    // As for containers: what is dropped with the process is removed by somebody else.
    _watchdog: Option<Watchdog>,
}

impl Network {
    /// Creates one.
    ///
    /// # Panics
    ///
    /// If the engine refuses.
    pub(crate) async fn create() -> Self {
        let name = format!("sgtickets-it-{}", Uuid::now_v7());
        let label = format!("{LABEL}={}", RunId::current());
        docker(&["network", "create", "--label", &label, &name]).await;
        let watchdog = if env::var_os("TEST_RUN_ID").is_none() {
            // The containers on it go first.
            let remove = format!("docker network rm {name}");
            Watchdog::arm(&format!(
                "for _ in 1 2 3 4 5; do {remove} && exit; sleep 1; done"
            ))
            .ok()
        } else {
            None
        };
        Self {
            name,
            _watchdog: watchdog,
        }
    }

    /// Puts a container on it, under a name that the others find it by.
    ///
    /// # Panics
    ///
    /// If the engine refuses.
    pub(crate) async fn connect(&self, container: &str, alias: &str) {
        docker(&[
            "network", "connect", "--alias", alias, &self.name, container,
        ])
        .await;
    }

    /// Takes a container off it.
    ///
    /// # Panics
    ///
    /// If the engine refuses.
    pub(crate) async fn disconnect(&self, container: &str) {
        docker(&["network", "disconnect", &self.name, container]).await;
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // One that cannot be removed now is removed by its label later.
        let _ = Command::new("docker")
            .args(["network", "rm", &self.name])
            .output();
    }
}
