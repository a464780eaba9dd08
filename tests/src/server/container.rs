use std::env;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use testcontainers::core::{IntoContainerPort as _, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};
use tokio::process::Command;
use tokio::runtime::Runtime;
use xtask::containers::{LABEL, PUBLIC_IMAGE};
use xtask::{NATS_CONF, RunId, Watchdog, free_port};

use super::{READY_WITHIN, STOP_WITHIN, deadline};

/// How often another address is tried when somebody was faster to take it.
const TRIES: u32 = 5;

/// A server in a container.
#[derive(Debug)]
pub(super) struct Container {
    /// `None`: it is being removed.
    running: Option<Arc<Running>>,
    port: u16,
    // What all tests share is never dropped, and would stay when the tests are run by hand.
    _watchdog: Option<Watchdog>,
}

type Running = ContainerAsync<GenericImage>;

/// Each test has a runtime of its own, which ends with it; the client of the engine lives on.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

impl Container {
    pub(super) async fn start(config: String) -> Self {
        let config = format!("{NATS_CONF}{config}");
        let image = env::var("TEST_NATS_IMAGE").unwrap_or_else(|_| PUBLIC_IMAGE.to_owned());
        let mut tries = 0;
        let (container, port) = loop {
            // One that is known beforehand, so that it is the same after a stop.
            let port = free_port().unwrap();
            let request = request(&image, port, &config);
            let started = RUNTIME.spawn(async move { request.start().await });
            match started.await.unwrap() {
                Ok(container) => break (container, port),
                Err(err) if tries < TRIES && err.to_string().contains("address already in use") => {
                    tries += 1;
                }
                Err(err) => panic!("the integration tests need a container of {image}: {err}"),
            }
        };
        // In a run of `cargo xtask test` that is its business, and two at once would get in each other's way.
        let watchdog = if env::var_os("TEST_RUN_ID").is_none() {
            Watchdog::arm(&format!("docker rm --force --volumes {}", container.id())).ok()
        } else {
            None
        };
        let started = Self {
            running: Some(Arc::new(container)),
            port,
            _watchdog: watchdog,
        };
        started.until_it_answers().await;
        started
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(super) async fn stop(&self) {
        let seconds = i32::try_from(STOP_WITHIN.as_secs()).unwrap();
        self.act(move |container| async move {
            container.stop_with_timeout(Some(seconds)).await.unwrap();
        })
        .await;
    }

    pub(super) async fn kill(&self) {
        self.signal("KILL").await;
    }

    pub(super) async fn lame_duck(&self) {
        self.signal("USR2").await;
        self.act(|container| async move {
            docker(&["wait", container.id()]).await;
        })
        .await;
    }

    /// The client has a stop only, which asks first.
    async fn signal(&self, signal: &'static str) {
        self.act(move |container| async move {
            docker(&["kill", "--signal", signal, container.id()]).await;
        })
        .await;
    }

    pub(super) async fn restart(&self) {
        self.stop().await;
        self.act(|container| async move { container.start().await.unwrap() })
            .await;
        self.until_it_answers().await;
    }

    pub(super) async fn pause(&self) {
        self.act(|container| async move { container.pause().await.unwrap() })
            .await;
    }

    pub(super) async fn resume(&self) {
        self.act(|container| async move { container.unpause().await.unwrap() })
            .await;
    }

    async fn act<F>(&self, action: impl FnOnce(Arc<Running>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let container = self.running.as_ref().map(Arc::clone).unwrap();
        RUNTIME.spawn(action(container)).await.unwrap();
    }

    /// The engine listens for the server before the server does, so a connection says nothing, but a greeting does.
    async fn until_it_answers(&self) {
        let port = self.port;
        let greeted = tokio::task::spawn_blocking(move || {
            let give_up = deadline(READY_WITHIN);
            while !greets(port) {
                assert!(Instant::now() < give_up, "no NATS server answers at {port}");
                thread::sleep(Duration::from_millis(10)); // Until the next look.
            }
        });
        greeted.await.unwrap();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let Some(container) = self.running.take().and_then(Arc::into_inner) else {
            return;
        };
        // A thread of its own, for a runtime may not wait within another.
        let removed = thread::spawn(|| RUNTIME.block_on(container.rm()));
        // A container that cannot be removed now is removed by its label later.
        let _ = removed.join();
    }
}

async fn docker(args: &[&str]) {
    let done = Command::new("docker").args(args).output().await.unwrap();
    assert!(done.status.success(), "{done:?}");
}

fn request(image: &str, port: u16, config: &str) -> testcontainers::ContainerRequest<GenericImage> {
    let (name, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
    GenericImage::new(name, tag)
        .with_wait_for(WaitFor::message_on_stderr("Server is ready"))
        .with_cmd([
            "--config",
            "/nats.conf",
            "--jetstream",
            "--store_dir",
            "/data",
        ])
        .with_copy_to("/nats.conf", config.as_bytes().to_vec())
        .with_label(LABEL, RunId::current().to_string())
        .with_mapped_port(port, 4222.tcp())
        .with_startup_timeout(READY_WITHIN)
}

fn greets(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    let greeting = TcpStream::connect_timeout(&address, READY_WITHIN).and_then(|stream| {
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    });
    greeting.is_ok_and(|line| line.starts_with("INFO "))
}
