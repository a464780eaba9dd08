use std::io;

use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// The way from clients to a server, which can be cut and stalled, and mended. Several can be laid end to end.
#[derive(Debug)]
pub(super) struct Cable {
    addr: String,
    state: watch::Sender<State>,
    _listening: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// How often it was cut: connections from before the last time are gone, however soon it is mended.
    cuts: u64,
    passes: Passes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Passes {
    #[default]
    Everything,
    /// Connections stay, and what clients say stays on the way.
    WhatTheServerSays,
    /// Connections stay, and what is said stays on the way.
    Nothing,
    /// There are no connections.
    Nobody,
}

impl Cable {
    /// Lays one to this address.
    ///
    /// # Errors
    ///
    /// If no port is free.
    pub(super) async fn to(server: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?.to_string();
        let state = watch::Sender::new(State::default());
        let listening = tokio::spawn(listen(listener, server.to_owned(), state.subscribe()));
        Ok(Self {
            addr,
            state,
            _listening: AbortOnDropHandle::new(listening),
        })
    }

    /// Where clients connect.
    pub(super) fn addr(&self) -> &str {
        &self.addr
    }

    /// Severs every connection, and takes no new one until it is mended. What is on its way is lost.
    pub(super) fn cut(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.passes = Passes::Nobody;
        });
    }

    /// Passes nothing on until it is mended, and loses nothing.
    pub(super) fn stall(&self) {
        self.state
            .send_modify(|state| state.passes = Passes::Nothing);
    }

    /// Lets clients hear everything, and nobody hear them, until it is mended. Nothing is lost.
    pub(super) fn deafen(&self) {
        self.state
            .send_modify(|state| state.passes = Passes::WhatTheServerSays);
    }

    /// Passes everything on again.
    pub(super) fn mend(&self) {
        self.state
            .send_modify(|state| state.passes = Passes::Everything);
    }
}

async fn listen(listener: TcpListener, server: String, state: watch::Receiver<State>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let state = state.clone();
        if state.borrow().passes != Passes::Nobody {
            tokio::spawn(carry(client, server.clone(), state));
        }
    }
}

/// Carries a connection until one side ends it or it is severed.
async fn carry(mut client: TcpStream, server: String, mut state: watch::Receiver<State>) {
    let cuts = state.borrow().cuts;
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let mut there = std::pin::pin!(copy(&mut from_client, &mut to_server));
    let mut back = std::pin::pin!(copy(&mut from_server, &mut to_client));
    loop {
        let State { cuts: now, passes } = *state.borrow_and_update();
        if now != cuts {
            return;
        }
        tokio::select! {
            biased;
            changed = state.changed() => if changed.is_err() {
                return;
            },
            // What is not polled carries nothing. However one of them ends, it ends for both.
            _ = &mut there, if passes == Passes::Everything => return,
            _ = &mut back, if passes != Passes::Nothing => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    /// Two cables end to end, to a server that says everything back.
    async fn lay() -> (Cable, Cable) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = Cable::to(&server.local_addr().unwrap().to_string()).await;
        let far = far.unwrap();
        let near = Cable::to(far.addr()).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = server.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = client.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        (near, far)
    }

    async fn says(stream: &mut TcpStream) -> Option<u8> {
        stream.write_all(b"x").await.ok()?;
        stream.read_u8().await.ok()
    }

    #[tokio::test]
    async fn severed_connection_ends_and_a_new_one_is_had_after_mending() {
        let (near, far) = lay().await;
        let mut client = TcpStream::connect(near.addr()).await.unwrap();
        assert_eq!(says(&mut client).await, Some(b'x'));

        far.cut();
        assert_eq!(client.read_u8().await.ok(), None);
        let mut client = TcpStream::connect(near.addr()).await.unwrap();
        assert_eq!(says(&mut client).await, None);

        far.mend();
        let mut client = TcpStream::connect(near.addr()).await.unwrap();
        assert_eq!(says(&mut client).await, Some(b'x'));
    }

    #[tokio::test]
    async fn who_is_not_heard_hears_everything() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let cable = Cable::to(&addr).await.unwrap();
        let mut client = TcpStream::connect(cable.addr()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();

        cable.deafen();
        server.write_all(b"x").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'x');
        client.write_all(b"y").await.unwrap();
        let heard = timeout(Duration::from_millis(50), server.read_u8()).await;
        assert!(heard.is_err(), "{heard:?}");

        cable.mend();
        assert_eq!(server.read_u8().await.unwrap(), b'y');
    }

    #[tokio::test]
    async fn stalled_connection_says_everything_later() {
        let (near, _far) = lay().await;
        let mut client = TcpStream::connect(near.addr()).await.unwrap();
        assert_eq!(says(&mut client).await, Some(b'x'));

        near.stall();
        client.write_all(b"y").await.unwrap();
        let heard = timeout(Duration::from_millis(50), client.read_u8()).await;
        assert!(heard.is_err(), "{heard:?}");

        near.mend();
        assert_eq!(client.read_u8().await.unwrap(), b'y');
    }
}
