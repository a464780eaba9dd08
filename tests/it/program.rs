//! `sgt` as whoever types it meets it.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::{Child, Command};

/// What a program said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// All of it that is for the caller.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// As [`ok`](Self::ok), where it is JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// What it said for the caller though it failed.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Starts it with these variables and no others.
pub(crate) fn start_sgt(environment: &[(&'static str, String)], args: &[&str]) -> Child {
    let mut sgt = Command::new(env!("CARGO_BIN_EXE_sgt-under-test"));
    sgt.args(args)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    sgt.spawn().unwrap()
}

/// Runs it to its end.
pub(crate) async fn sgt(environment: &[(&'static str, String)], args: &[&str]) -> Said {
    said(start_sgt(environment, args)).await
}

/// Waits for its end.
pub(crate) async fn said(sgt: Child) -> Said {
    let output = sgt.wait_with_output().await.unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
