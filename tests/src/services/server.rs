use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::task::spawn_blocking;
use xtask::{NatsProcess, nats_server};

/// The NATS server under a system. Each system has one of its own, for all of them speak of the same streams.
#[derive(Debug)]
pub(super) struct Server {
    process: Arc<Mutex<NatsProcess>>,
    url: String,
}

impl Server {
    /// Starts one that keeps its streams in this folder.
    pub(super) async fn start(folder: &Path) -> Self {
        let folder = folder.to_owned();
        let started = spawn_blocking(|| {
            let server = nats_server::locate().unwrap();
            NatsProcess::builder(server.path, folder).start().unwrap()
        });
        let process = started.await.unwrap();
        Self {
            url: process.url(),
            process: Arc::new(Mutex::new(process)),
        }
    }

    /// Where it is, before and after it was away.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn stop(&self) {
        self.blocking(|process| process.stop().unwrap()).await;
    }

    /// Starts it again, after a stop in order if it still runs.
    pub(super) async fn restart(&self) {
        self.blocking(|process| process.restart().unwrap()).await;
    }

    async fn blocking(&self, action: impl FnOnce(&mut NatsProcess) + Send + 'static) {
        let process = Arc::clone(&self.process);
        let done = spawn_blocking(move || action(&mut process.lock().unwrap()));
        done.await.unwrap();
    }
}
