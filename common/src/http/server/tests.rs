use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::http::JsonBody;

#[derive(Deserialize)]
struct Anything {}

/// Where a request waits until a test lets it go on.
#[derive(Default)]
struct Gate {
    entered: Notify,
    opened: Notify,
}

async fn answer(State(gate): State<Arc<Gate>>) -> &'static str {
    gate.entered.notify_one();
    gate.opened.notified().await;
    "done"
}

/// A server on a free port, and what stops it.
async fn start(router: Router) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let addr = server.addr();
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(async {
        let stopped = async { stopped.await.unwrap_or_default() };
        server.run(router, stopped).await;
    });
    (addr, stop, running)
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    String::from_utf8(reply).unwrap()
}

#[tokio::test]
async fn request_that_has_begun_is_answered_after_the_stop() {
    let gate = Arc::new(Gate::default());
    let router = Router::new()
        .route("/", get(answer))
        .with_state(Arc::clone(&gate));
    let (addr, stop, running) = start(router).await;
    let mut idle = TcpStream::connect(addr).await.unwrap();
    let mut client = TcpStream::connect(addr).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    gate.entered.notified().await;

    stop.send(()).unwrap();
    // Until the listener is gone, connections that nobody serves are accepted by the system.
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gate.opened.notify_one();
    let reply = read_to_end(&mut client).await;

    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
    assert!(reply.ends_with("done"), "{reply}");
    assert_eq!(read_to_end(&mut idle).await, "");
    running.await.unwrap();
}

#[tokio::test]
async fn client_that_sends_too_much_hears_so() {
    let router = Router::new().route("/", post(async |_: JsonBody<Anything>| "read"));
    let (addr, stop, running) = start(router).await;
    let mut client = TcpStream::connect(addr).await.unwrap();
    let body = vec![b'x'; 10 * 1024 * 1024];
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );

    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&body).await.unwrap();
    let reply = read_to_end(&mut client).await;

    assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
    assert!(reply.contains(r#"{"errors":[{"#), "{reply}");
    stop.send(()).unwrap();
    running.await.unwrap();
}

#[tokio::test]
async fn connection_that_breaks_off_harms_no_other() {
    let (addr, stop, running) = start(Router::new().route("/", get(async || "fine"))).await;

    for broken in [&b"nonsense\r\n\r\n"[..], b"GET / HT", b"\0\0\0", b""] {
        let mut client = TcpStream::connect(addr).await.unwrap();
        client.write_all(broken).await.unwrap();
    }
    let mut client = TcpStream::connect(addr).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();

    let reply = read_to_end(&mut client).await;
    assert!(reply.ends_with("fine"), "{reply}");
    stop.send(()).unwrap();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connection_without_a_request_is_closed() {
    let (addr, _stop, _running) = start(Router::new()).await;
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();

    let reply = tokio::time::timeout(2 * HEAD_DEADLINE, read_to_end(&mut client)).await;

    assert!(reply.is_ok(), "the connection is still open");
}

#[tokio::test(start_paused = true)]
async fn request_that_hangs_is_broken_off_at_the_stop() {
    let gate = Arc::new(Gate::default());
    let router = Router::new()
        .route("/", get(answer))
        .with_state(Arc::clone(&gate));
    let (addr, stop, running) = start(router).await;
    let mut client = TcpStream::connect(addr).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    gate.entered.notified().await;

    stop.send(()).unwrap();
    let ended = tokio::time::timeout(DRAIN_DEADLINE + Duration::from_secs(1), running).await;

    assert!(ended.is_ok(), "the server is still running");
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn address_in_use_is_said() {
    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let err = Server::bind(server.addr()).await.unwrap_err();
    assert_eq!(err.kind(), io::ErrorKind::AddrInUse);
}
