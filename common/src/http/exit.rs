use std::process::ExitCode;

use crate::error::{BoxError, Chain};
use crate::name::QueueGroup;

/// What a program returns from `main`. An error is said on standard error, in one line with its sources.
#[must_use]
pub fn exit_code(service: QueueGroup, outcome: Result<(), BoxError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("{service}: {}", Chain(&*err));
            ExitCode::FAILURE
        }
    }
}
