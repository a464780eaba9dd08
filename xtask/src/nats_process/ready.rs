use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use super::NotReady;

/// Waits until the server has said at which port it listens, and answers there.
pub(super) fn wait(child: &mut Child, dir: &Path, deadline: Instant) -> Result<u16, NotReady> {
    // The server writes it when all its listeners are up. Its name carries the process, so an
    // earlier server's file is never taken for this one's.
    let file = dir.join(format!("nats-server_{}.ports", child.id()));
    loop {
        if let Some(port) = fs::read_to_string(&file).ok().as_deref().and_then(parse) {
            return greet(port, deadline);
        }
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => return Err(NotReady::Ended(status)),
            Err(error) => return Err(NotReady::Unknown(error)),
        }
        if Instant::now() >= deadline {
            return Err(NotReady::Silent);
        }
        // The file system cannot wake us everywhere; a start takes some 20 ms.
        thread::sleep(Duration::from_millis(2));
    }
}

/// Reads the first line that a server sends to whoever connects.
fn greet(port: u16, deadline: Instant) -> Result<u16, NotReady> {
    let left = deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(100));
    let address = (Ipv4Addr::LOCALHOST, port).into();
    let hello = TcpStream::connect_timeout(&address, left).and_then(|stream| {
        stream.set_read_timeout(Some(left))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    });
    match hello {
        Ok(line) if line.starts_with("INFO ") => Ok(port),
        Ok(_) | Err(_) => Err(NotReady::NotNats { port }),
    }
}

/// Where clients connect. `None` while the file is not whole.
fn parse(text: &str) -> Option<u16> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let url = value.get("nats")?.get(0)?.as_str()?;
    url.rsplit(':').next()?.parse().ok()
}

/// The last lines of a log. What cannot be read is said in their place.
pub(super) fn tail(log: &Path) -> String {
    match fs::read(log) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(12)..].join("\n")
        }
        Err(error) => format!("({}: {error})", log.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u16>) {
        assert_eq!(parse(text), expected, "{text:?}");
    }

    #[test]
    fn port_is_read_from_a_whole_file_only() {
        check(
            r#"{"nats":["nats://127.0.0.1:40001"],"monitoring":["http://127.0.0.1:40002"]}"#,
            Some(40001),
        );
        check(r#"{"nats": ["nats://127.0.0.1:4222"]}"#, Some(4222));
        check(r#"{"nats":["nats://127.0.0.1:40"#, None);
        check("", None);
        check(r#"{"cluster":["nats://127.0.0.1:6222"]}"#, None);
    }
}
