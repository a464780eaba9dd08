use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time;
use tokio_util::task::AbortOnDropHandle;

/// The way between clients and a server, which can be cut and mended.
#[derive(Debug)]
pub struct Cable {
    url: String,
    state: Arc<watch::Sender<State>>,
    _listening: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// How often it was cut: what was made before the last time is gone, however soon it is mended.
    cuts: u64,
    passes: Passes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Passes {
    #[default]
    Everything,
    /// What the server says stays on the way.
    WhatClientsSay,
    /// What clients say stays on the way.
    WhatTheServerSays,
    Nothing,
}

/// As much as is passed on at once.
const CHUNK: usize = 64 * 1024;

impl Cable {
    /// Lays one to the server at this address.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub async fn to(url: &str) -> Self {
        Self::long(url, Duration::ZERO).await
    }

    /// Lays one on which everything is so long on its way, there as well as back.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub async fn long(url: &str, delay: Duration) -> Self {
        let server = url.strip_prefix("nats://").unwrap_or(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let state = Arc::new(watch::Sender::<State>::default());
        let listening = tokio::spawn(listen(listener, server, Arc::clone(&state), delay));
        Self {
            url,
            state,
            _listening: AbortOnDropHandle::new(listening),
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts every connection, and makes none until [`mend`](Self::mend). What is on its way is lost.
    pub fn cut(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.passes = Passes::Nothing;
        });
    }

    /// Lets the server hear everything, and nobody hear the server, until [`mend`](Self::mend).
    pub fn mute(&self) {
        self.pass(Passes::WhatClientsSay);
    }

    /// Lets clients hear everything, and the server hear nobody, until [`mend`](Self::mend).
    pub fn deafen(&self) {
        self.pass(Passes::WhatTheServerSays);
    }

    /// Makes connections again, and passes everything on.
    pub fn mend(&self) {
        self.pass(Passes::Everything);
    }

    fn pass(&self, passes: Passes) {
        self.state.send_modify(|state| state.passes = passes);
    }
}

async fn listen(
    listener: TcpListener,
    server: String,
    state: Arc<watch::Sender<State>>,
    delay: Duration,
) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let mut cut = state.subscribe();
        let State { cuts, passes } = *cut.borrow();
        if passes == Passes::Nothing {
            continue;
        }
        let (server, state) = (server.clone(), state.subscribe());
        tokio::spawn(async move {
            let through = pass_on(client, &server, state, delay);
            tokio::select! {
                biased;
                _ = cut.wait_for(|state| state.cuts > cuts) => (),
                () = through => (),
            }
        });
    }
}

async fn pass_on(
    mut client: TcpStream,
    server: &str,
    state: watch::Receiver<State>,
    delay: Duration,
) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let there = Way {
        state: state.clone(),
        shut: Passes::WhatTheServerSays,
        delay,
    };
    let back = Way {
        state,
        shut: Passes::WhatClientsSay,
        delay,
    };
    // However one of them ends, it ends for both.
    tokio::select! {
        () = there.carry(from_client, to_server) => (),
        () = back.carry(from_server, to_client) => (),
    }
}

/// One of the two directions.
struct Way {
    state: watch::Receiver<State>,
    /// When nothing goes this way.
    shut: Passes,
    delay: Duration,
}

impl Way {
    async fn carry(mut self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut chunk = vec![0; CHUNK];
        while let Ok(read @ 1..) = from.read(&mut chunk).await {
            time::sleep(self.delay).await; // the length of the cable
            let shut = self.shut;
            // The sender outlives every connection.
            let _ = self.state.wait_for(|state| state.passes != shut).await;
            if to.write_all(&chunk[..read]).await.is_err() {
                return;
            }
        }
    }
}
