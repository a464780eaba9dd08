use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdout, Command, Stdio};

use clap::ValueEnum;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use xtask::signal::Signal;

use crate::own_process::OwnProcess;
use crate::until::DEADLINE;
use crate::{Ledger, TestNats};

/// What a process of a bank does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// It applies events.
    Replica,
    /// It publishes what is in the outbox.
    Relay,
}

/// Where a replica stands still with its first event, until it is told to go on, or is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Halt {
    /// Nowhere.
    Never,
    /// It has the event, and has not begun.
    BeforeTransaction,
    /// It has written, and has not committed.
    InTransaction,
    /// It has committed, and has not acknowledged.
    AfterCommit,
    /// It has acknowledged, and nothing of that has left the process.
    AfterAck,
}

/// A replica or a relay of a bank in a process of its own, with one attempt for each event.
#[derive(Debug)]
pub struct BankProcess {
    process: OwnProcess,
    // Behind an option while a thread reads.
    said: Option<BufReader<ChildStdout>>,
}

impl BankProcess {
    /// Starts the program, which is at `path`, and returns when it says that it is ready.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn start(path: &str, nats: &TestNats, ledger: &Ledger, role: Role) -> Self {
        Self::start_at(path, nats, nats.url(), ledger, role, Halt::Never).await
    }

    /// As [`start`](Self::start), a replica that stands still with its first event.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn halting(path: &str, nats: &TestNats, ledger: &Ledger, halt: Halt) -> Self {
        Self::start_at(path, nats, nats.url(), ledger, Role::Replica, halt).await
    }

    /// As [`start`](Self::start), where the server is to be reached at another address.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start_at(
        path: &str,
        nats: &TestNats,
        url: &str,
        ledger: &Ledger,
        role: Role,
        halt: Halt,
    ) -> Self {
        let name =
            |value: Option<clap::builder::PossibleValue>| value.unwrap().get_name().to_owned();
        let mut program = Command::new(path);
        program
            .env_clear()
            .envs(nats.environment())
            .env("NATS_URL", url)
            .env("DATABASE_URL", ledger.url())
            .args([
                name(role.to_possible_value()),
                name(halt.to_possible_value()),
            ])
            .stdin(Stdio::piped());
        let mut process = OwnProcess::start(&mut program);
        let said = process.child.stdout.take().map(BufReader::new);
        let mut started = Self { process, said };
        started.until_it_says("ready").await;
        started
    }

    /// Waits until it stands still where it was told to.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn until_halted(&mut self) {
        self.until_it_says("halted").await;
    }

    async fn until_it_says(&mut self, word: &str) {
        let mut said = self.said.take().unwrap();
        let reading = spawn_blocking(move || {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            (said, line)
        });
        let (said, line) = timeout(DEADLINE, reading).await.unwrap().unwrap();
        assert_eq!(line.trim(), word);
        self.said = Some(said);
    }

    /// Lets it go on from where it stands still.
    ///
    /// # Panics
    ///
    /// If it is not there.
    pub fn go_on(&mut self) {
        let stdin = self.process.child.stdin.as_mut().unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    /// Lets the whole process stand still (SIGSTOP).
    ///
    /// # Panics
    ///
    /// If the operating system refuses.
    pub fn freeze(&self) {
        self.process.send(Signal::Stop);
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    ///
    /// # Panics
    ///
    /// If the operating system refuses.
    pub fn thaw(&self) {
        self.process.send(Signal::Continue);
    }

    /// `kill -9`.
    ///
    /// # Panics
    ///
    /// If the operating system refuses.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Lets the process write no file (`None`: any file) as long as this holds: to it, the disk is full.
    ///
    /// # Panics
    ///
    /// If the operating system refuses.
    #[cfg(target_os = "linux")]
    pub fn let_it_write(&self, disk: Disk) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};

        let most = match disk {
            Disk::Full => Some(0),
            Disk::HasRoom => None,
        };
        let limit = Rlimit {
            current: most,
            maximum: None,
        };
        let pid = Pid::from_child(&self.process.child);
        prlimit(Some(pid), Resource::Fsize, limit).unwrap();
    }
}

/// What a disk has left, as a process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Nothing.
    Full,
    /// Enough.
    HasRoom,
}
