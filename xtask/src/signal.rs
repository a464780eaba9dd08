use std::process::Child;

use crate::nats_process::SignalError;

/// What a child can be told besides to end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    Stop,
    Continue,
    /// To `nats-server`: let the clients go, one after the other, and end.
    LameDuck,
}

/// Sends a signal to a child that nobody has waited for. Returns from a stop when it has happened.
#[cfg(unix)]
pub(crate) fn send(child: &Child, signal: Signal) -> Result<(), SignalError> {
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

#[cfg(not(unix))]
pub(crate) fn send(_: &Child, _: Signal) -> Result<(), SignalError> {
    Err(SignalError::Unsupported)
}
