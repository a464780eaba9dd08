use std::fmt::Write as _;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::until::DEADLINE;

/// A NATS connection by hand: it sends any bytes as headers, which no client would.
#[derive(Debug)]
pub struct Wire {
    stream: BufStream<TcpStream>,
}

const INBOX: &str = "_INBOX.by-hand";

impl Wire {
    pub(crate) async fn connect(url: &str, user: Option<(&str, &str)>) -> Self {
        let address = url.strip_prefix("nats://").unwrap_or(url);
        let stream = TcpStream::connect(address).await.unwrap();
        let mut wire = Self {
            stream: BufStream::new(stream),
        };
        let greeting = wire.line().await;
        assert!(greeting.starts_with("INFO "), "{greeting}");
        let mut hello = json!({
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true,
            "lang": "by-hand", "version": "1", "protocol": 1,
        });
        if let Some((user, password)) = user {
            hello["user"] = json!(user);
            hello["pass"] = json!(password);
        }
        wire.send(format!("CONNECT {hello}\r\nSUB {INBOX} 1\r\nPING\r\n").as_bytes())
            .await;
        while wire.line().await != "PONG" {}
        wire
    }

    /// A connection of this user.
    ///
    /// # Panics
    ///
    /// If the server does not let it in.
    pub async fn of(server: &crate::Server, user: &str, password: &str) -> Self {
        Self::connect(server.url(), Some((user, password))).await
    }

    /// Says something to the server, as `SUB a 1`, and yields what it has against it. `None`: nothing.
    pub async fn refusal(&mut self, words: &str) -> Option<String> {
        self.send(format!("{words}\r\nPING\r\n").as_bytes()).await;
        let mut refusal = None;
        loop {
            let line = self.line().await;
            if line == "PONG" {
                return refusal;
            }
            if line.starts_with("-ERR") {
                refusal = Some(line);
            }
        }
    }

    /// Says something to the server, and waits for no answer.
    pub async fn says(&mut self, words: &str) {
        self.send(format!("{words}\r\n").as_bytes()).await;
    }

    /// Publishes a message with this block of headers, all that is between `NATS/1.0` and the empty line, and yields
    /// its place in the stream.
    ///
    /// # Panics
    ///
    /// If it is not stored.
    pub async fn publish(&mut self, subject: &str, headers: &[u8], payload: &[u8]) -> u64 {
        let block = [b"NATS/1.0\r\n", headers, b"\r\n"].concat();
        let mut command = format!("HPUB {subject} {INBOX} ");
        let _ = write!(
            command,
            "{} {}\r\n",
            block.len(),
            block.len() + payload.len()
        );
        self.send(&[command.as_bytes(), &block, payload, b"\r\n"].concat())
            .await;
        let answer = self.message().await;
        answer["seq"]
            .as_u64()
            .unwrap_or_else(|| panic!("`{subject}` was not stored: {answer}"))
    }

    /// Waits for a message on what it listens to, and yields its subject.
    ///
    /// # Panics
    ///
    /// If none comes, or the server has something against what was said before.
    pub async fn hears(&mut self) -> String {
        loop {
            let line = self.line().await;
            if let Some(heard) = line.strip_prefix("MSG ").or(line.strip_prefix("HMSG ")) {
                return heard.split(' ').next().unwrap().to_owned();
            }
            assert!(!line.starts_with("-ERR"), "{line}");
        }
    }

    async fn message(&mut self) -> Value {
        loop {
            let line = self.line().await;
            if let Some(size) = line.strip_prefix("MSG ") {
                let size = size.rsplit(' ').next().unwrap().parse().unwrap();
                let mut payload = vec![0; size];
                self.stream.read_exact(&mut payload).await.unwrap();
                return serde_json::from_slice(&payload).unwrap();
            }
            assert!(!line.starts_with("HMSG "), "nobody takes it: {line}");
            assert!(!line.starts_with("-ERR"), "{line}");
            if line == "PING" {
                self.send(b"PONG\r\n").await;
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(DEADLINE, self.stream.read_line(&mut line)).await;
        assert!(read.unwrap().unwrap() > 0, "the server hung up");
        line.trim_end().to_owned()
    }
}
