use std::io;

use tokio_util::sync::CancellationToken;

use super::Stop;

/// As a shell reports a process that was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Runs until the process is told to stop (SIGINT, SIGTERM or Ctrl-C), then lets it end in order. A
/// second signal ends it at once.
///
/// # Errors
///
/// Those of `run`, and [`io::Error`] if signals cannot be listened to.
pub async fn until_signalled<F, T, E>(run: impl FnOnce(Stop) -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    E: From<io::Error>,
{
    let mut signals = Signals::listen()?;
    let stop = CancellationToken::new();
    let mut running = std::pin::pin!(run(stop.clone().cancelled_owned()));
    tokio::select! {
        outcome = &mut running => return outcome,
        () = signals.next() => tracing::info!("stopping; a second signal ends it at once"),
    }
    stop.cancel();
    tokio::select! {
        outcome = &mut running => outcome,
        () = signals.next() => std::process::exit(INTERRUPTED),
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}

#[cfg(not(unix))]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
