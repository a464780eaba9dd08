use std::cell::Cell;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Elsewhere than on a terminal, a long phase says this often how far it is.
const WORD_EVERY: Duration = Duration::from_secs(5);

/// Where the demo and the soak talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    /// For a person: everything on standard output.
    Text,
    /// For a program: one JSON object on standard output, the rest on standard error.
    Json,
    /// For a log: the result on standard output, and nothing else.
    Brief,
}

/// A part of the demo that takes a while.
#[derive(Debug)]
pub(crate) struct Phase {
    screen: Screen,
    name: &'static str,
    total: u64,
    done: Cell<u64>,
    bar: Option<ProgressBar>,
    begun: Instant,
    last_word: Cell<Instant>,
}

impl Screen {
    /// Says a line. A reader who is gone is no error: the system has to be stopped all the same.
    pub(crate) fn say(self, line: impl Display) {
        let _ = match self {
            Self::Text => writeln!(io::stdout().lock(), "{line}"),
            Self::Json => writeln!(io::stderr().lock(), "{line}"),
            Self::Brief => Ok(()),
        };
    }

    /// Says what the command was run for.
    pub(crate) fn result(text: impl Display) {
        let _ = writeln!(io::stdout().lock(), "{text}");
    }

    /// Begins a phase of so many steps, 0 if that is not known, with a bar if a person is watching.
    pub(crate) fn phase(self, name: &'static str, total: usize) -> Phase {
        let now = Instant::now();
        let total = total as u64;
        Phase {
            screen: self,
            name,
            total,
            done: Cell::new(0),
            bar: (self != Self::Brief && io::stderr().is_terminal()).then(|| bar(name, total)),
            begun: now,
            last_word: Cell::new(now),
        }
    }
}

impl Phase {
    /// One step is done.
    pub(crate) fn step(&self) {
        self.done.set(self.done.get() + 1);
        self.watch();
    }

    /// Something is still awaited.
    pub(crate) fn wait(&self) {
        self.watch();
    }

    fn watch(&self) {
        let done = self.done.get();
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.last_word.get().elapsed() >= WORD_EVERY => {
                self.last_word.set(Instant::now());
                match self.total {
                    0 => self.screen.say(format_args!("{:<9} ...", self.name)),
                    total => self
                        .screen
                        .say(format_args!("{:<9} {done}/{total}", self.name)),
                }
            }
            None => {}
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Ends the phase with a line that says what it did.
    pub(crate) fn end(self, what: impl Display) {
        self.clear();
        let seconds = self.begun.elapsed().as_secs_f64();
        self.screen
            .say(format_args!("{:<9} {what} ({seconds:.1} s)", self.name));
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(name: &'static str, total: u64) -> ProgressBar {
    let template = match total {
        0 => "{msg:<9} {spinner}  {elapsed}",
        _ => "{msg:<9} {bar:32} {pos}/{len}  {elapsed}",
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total).with_style(style).with_message(name);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
