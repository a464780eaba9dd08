use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::error::Chain;
use crate::name::QueueGroup;

/// How long a client may take to send the head of a request.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);

/// How long requests that have begun may take to end after the stop: ten seconds. What a request waits for
/// must be over sooner, or its client hears nothing.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// An HTTP/1.1 server on an address of its own.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Server {
    /// Takes the address. Port 0 takes a free one. Connections wait until the server runs.
    ///
    /// # Errors
    ///
    /// [`io::Error`] if the address cannot be had.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop`; then takes no more connections, and ends when the requests that have
    /// begun are answered, or after [`DRAIN_DEADLINE`]. What goes wrong with a connection ends that
    /// connection.
    pub async fn run(self, router: Router, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                stream = accept(&self.listener) => {
                    connections.spawn(serve(stream, router.clone(), graceful.watcher()));
                }
                Some(ended) = connections.join_next() => {
                    if let Err(err) = ended {
                        tracing::error!(error = %err, "connection panicked");
                    }
                }
                () = &mut stop => break,
            }
        }
        drop(self.listener);
        if timeout(DRAIN_DEADLINE, graceful.shutdown()).await.is_err() {
            tracing::warn!(open = connections.len(), "requests broken off");
        }
        connections.shutdown().await;
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(err) if is_of_the_peer(&err) => (),
            Err(err) => {
                tracing::error!(error = %err, "no connection could be accepted");
                // Most likely there are no more file descriptors: others have to end first.
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn is_of_the_peer(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn serve(stream: TcpStream, router: Router, watcher: hyper_util::server::graceful::Watcher) {
    // Answers are small and awaited; without a delay they leave at once.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(err) = watcher.watch(connection).await {
        tracing::debug!(error = %Chain(&err), "connection ended");
    }
}

/// Says on standard output, in one line, where a service listens: for people, and for programs that chose port 0.
///
/// # Errors
///
/// [`AnnounceError`] if nobody can be told.
pub fn announce(service: QueueGroup, addr: SocketAddr) -> Result<(), AnnounceError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{service} listening on http://{addr}")?;
    Ok(stdout.flush()?)
}

/// Standard output takes nothing, and whoever reads it waits in vain.
#[derive(Debug, thiserror::Error)]
#[error("standard output does not take where the service listens")]
pub struct AnnounceError(#[from] io::Error);

#[cfg(test)]
mod tests;
