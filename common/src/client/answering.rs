//! A server that answers requests as a test says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::{Client, ClientConfig, build_client};

/// A client whose requests are answered by `answer`, which is given subject and payload.
pub(crate) async fn answered_by(
    answer: impl FnMut(&str, &str) -> String + Send + 'static,
) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    // It ends with its client.
    thread::spawn(move || serve(&listener.accept().unwrap().0, answer));
    let config = ClientConfig::new("test").url(&url);
    build_client(&config).await.unwrap()
}

fn serve(mut stream: &TcpStream, mut answer: impl FnMut(&str, &str) -> String) {
    let info = r#"INFO {"server_id":"A","version":"2.15.0","headers":true,"max_payload":1048576}"#;
    write!(stream, "{info}\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut inbox = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["PING"] => stream.write_all(b"PONG\r\n").unwrap(),
            ["SUB", _, id] => id.clone_into(&mut inbox),
            ["PUB" | "HPUB", subject, reply, .., size] => {
                let headers = match words[..] {
                    ["HPUB", _, _, headers, _] => headers.parse().unwrap(),
                    _ => 0,
                };
                let size: usize = size.parse().unwrap();
                // The line's end comes after it.
                let mut payload = vec![0; size + 2];
                reader.read_exact(&mut payload).unwrap();
                let payload = str::from_utf8(&payload[headers..size]).unwrap();
                let answer = answer(subject, payload);
                let size = answer.len();
                let message = format!("MSG {reply} {inbox} {size}\r\n{answer}\r\n");
                stream.write_all(message.as_bytes()).unwrap();
            }
            _ => (),
        }
    }
}
