use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// The way between clients and a server, which can be cut and mended.
#[derive(Debug)]
pub struct Cable {
    url: String,
    state: Arc<watch::Sender<State>>,
    _listening: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Cut,
}

impl Cable {
    /// Lays one to the server at this address.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub async fn to(url: &str) -> Self {
        let server = url.strip_prefix("nats://").unwrap_or(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let state = Arc::new(watch::Sender::new(State::Whole));
        let listening = tokio::spawn(listen(listener, server, Arc::clone(&state)));
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

    /// Cuts every connection, and makes none until [`mend`](Self::mend).
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Makes connections again.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn listen(listener: TcpListener, server: String, state: Arc<watch::Sender<State>>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let mut state = state.subscribe();
        if *state.borrow() == State::Cut {
            continue;
        }
        let server = server.clone();
        tokio::spawn(async move {
            let through = pass_on(client, &server);
            tokio::select! {
                () = through => (),
                _ = state.wait_for(|state| *state == State::Cut) => (),
            }
        });
    }
}

async fn pass_on(mut client: TcpStream, server: &str) {
    if let Ok(mut server) = TcpStream::connect(server).await {
        // However it ends, it ends for both.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
