use std::env::{self, VarError};
use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Logs to standard error what the variable `RUST_LOG` asks for, `info` if it is not set.
///
/// # Errors
///
/// [`LogError`] if the variable is malformed.
///
/// # Panics
///
/// If the process logs elsewhere already.
pub fn log_to_stderr() -> Result<(), LogError> {
    let filter = match env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(text).map_err(LogError::Filter)?,
        Ok(_) | Err(VarError::NotPresent) => EnvFilter::new("info"),
        Err(VarError::NotUnicode(_)) => return Err(LogError::NotText),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    Ok(())
}

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// It has not the form `level` or `target=level,..`.
    #[error("RUST_LOG is malformed")]
    Filter(#[source] ParseError),
    /// It is not Unicode.
    #[error("RUST_LOG is not text")]
    NotText,
}
