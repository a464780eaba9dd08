use std::io;
use std::path::Path;

/// What Rust writes when a thread panics.
const PANICKED: &str = " panicked at ";

/// Where a program has panicked, a line each, as the logs in this folder say.
///
/// The runner catches it and tries the event again, so that nobody else sees it. None of the faults is a reason.
pub(super) fn panics(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let log = std::fs::read(&path)?;
            let log = String::from_utf8_lossy(&log);
            let name = path.file_name().unwrap_or_default().display();
            let lines = log.lines().filter(|line| line.contains(PANICKED));
            found.extend(lines.map(|line| format!("{name}: {line}")));
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn panic_is_found_among_the_lines_of_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("orders-service-1.log", "INFO up\n");
        write(
            "orders-service-2.log",
            "INFO up\nthread 'tokio-rt-worker' (7) panicked at src/store.rs:7:5:\nno row\nINFO going on\n",
        );
        write("schedule.txt", "nobody panicked at all");
        assert_eq!(
            panics(folder.path()).unwrap(),
            ["orders-service-2.log: thread 'tokio-rt-worker' (7) panicked at src/store.rs:7:5:"]
        );
    }
}
