//! What a child can be told besides to die.

use std::process::Child;

use crate::SignalError;

/// A word to a child, where there are signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Stand still (SIGSTOP).
    Stop,
    /// Go on after a [`Stop`](Self::Stop) (SIGCONT).
    Continue,
    /// End in order (SIGTERM).
    Terminate,
    /// To a `nats-server`: send the clients elsewhere, and end (SIGUSR2, lame duck).
    LameDuck,
}

/// Sends a signal to a child that nobody has waited for. Returns from a stop when it has happened.
///
/// # Errors
///
/// The operating system refused, or has no signals.
#[cfg(unix)]
pub fn send(child: &Child, signal: Signal) -> Result<(), SignalError> {
    use rustix::process::{Pid, Signal as Number, kill_process};

    let send = |number| {
        kill_process(Pid::from_child(child), number).map_err(|errno| SignalError::Io(errno.into()))
    };
    match signal {
        Signal::Stop => {
            send(Number::STOP)?;
            wait_for_stop(child)
        }
        Signal::Continue => send(Number::CONT),
        Signal::Terminate => send(Number::TERM),
        Signal::LameDuck => send(Number::USR2),
    }
}

/// The threads of a process stop one by one, a little after the signal was sent.
#[cfg(unix)]
fn wait_for_stop(child: &Child) -> Result<(), SignalError> {
    use std::{
        io, thread,
        time::{Duration, Instant},
    };

    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    let deadline = Instant::now() + Duration::from_secs(5);
    // Only looks: the child stays ours to wait for, and a second look sees the same.
    let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while Instant::now() < deadline {
        match waitid(WaitId::Pid(Pid::from_child(child)), look) {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => thread::sleep(Duration::from_millis(1)),
            Err(errno) => return Err(SignalError::Io(errno.into())),
        }
    }
    Err(SignalError::Io(io::ErrorKind::TimedOut.into()))
}

/// There are no signals here.
///
/// # Errors
///
/// Always.
#[cfg(not(unix))]
pub fn send(_: &Child, _: Signal) -> Result<(), SignalError> {
    Err(SignalError::Unsupported)
}
