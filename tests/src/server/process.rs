use std::fs;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::task::spawn_blocking;
use xtask::{NatsProcess, Watchdog, nats_server};

use super::{File, naming_files};

/// A server as a child of this process.
#[derive(Debug)]
pub(super) struct Process {
    // First to go.
    nats: Arc<Mutex<NatsProcess>>,
    _folder: TempDir,
    // What all tests share is never dropped, and its folder would stay.
    _watchdog: Option<Watchdog>,
}

impl Process {
    pub(super) async fn start(config: String, files: Vec<File>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("sgtickets-it-")
            .tempdir()
            .unwrap();
        let watchdog = Watchdog::arm(&format!(
            "for _ in 1 2 3 4 5; do rm -rf '{}' && exit; sleep 1; done",
            folder.path().display()
        ));
        let path = folder.path().join("nats");
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let config = naming_files(&config, &folder.path().display().to_string());
        let started = spawn_blocking(move || {
            let server = nats_server::locate()
                .unwrap_or_else(|err| panic!("the integration tests need a NATS server: {err}"));
            NatsProcess::builder(server.path, path)
                .config(config)
                .start()
                .unwrap()
        });
        Self {
            nats: Arc::new(Mutex::new(started.await.unwrap())),
            _folder: folder,
            _watchdog: watchdog.ok(),
        }
    }

    pub(super) async fn url(&self) -> String {
        self.act(|nats| nats.url()).await
    }

    pub(super) async fn act<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut NatsProcess) -> T + Send + 'static,
    ) -> T {
        let nats = Arc::clone(&self.nats);
        let done = spawn_blocking(move || action(&mut nats.lock().unwrap()));
        done.await.unwrap()
    }
}
