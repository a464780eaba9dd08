//! Whether readers can live with a change: judged by structure and by execution, which must agree.

mod contracts;
mod files;
mod included;
mod instances;
mod reader;
mod report;
mod samples;
mod schema_file;
mod shape;
mod text;

use std::fmt;

use serde::Serialize;
use serde_json::Value;

pub use contracts::against_release;
pub use files::{FilesError, compare_files};
pub(crate) use reader::validator;
pub use reader::{OPEN, Reader};
pub use report::{Break, Direction, Note, Report};
pub use schema_file::SchemaError;

/// Something that a reader does not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The place in the event, as a JSON path: `$.ticket.price`.
    pub path: String,
    /// What is the matter there.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what } = self;
        write!(f, "{path}: {what}")
    }
}

/// What comparing the two schemas says.
#[derive(Debug, Clone, PartialEq)]
pub enum Structure {
    /// Everything that may be written is read.
    Reads,
    /// These are not read.
    Breaks(Vec<Finding>),
    /// The schemas have something that is not judged here.
    Unjudged(Finding),
}

/// What giving instances to the reader says.
#[derive(Debug, Clone, PartialEq)]
pub enum Execution {
    /// It read all of them.
    Reads {
        /// How many.
        instances: usize,
    },
    /// It refused one.
    Refuses {
        /// The first that it refused.
        instance: Value,
        /// What it said.
        why: String,
    },
    /// No instances can be made.
    Unjudged(String),
}

/// What both judges say of one reader and one writer.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The judge that compares the schemas.
    pub structure: Structure,
    /// The judge that gives instances to the reader.
    pub execution: Execution,
}

/// What follows from the two judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Both say that everything is read.
    Compatible,
    /// Both say that something is not.
    Breaks,
    /// The schemas are outside of what can be judged, which counts as a break.
    Unjudged,
    /// They disagree, which counts as a break: one of the two judges is wrong, or a type reads
    /// something else than its schema says.
    Disagree,
}

impl Judgement {
    /// Judges a reader by the schema of what is written, the schema of what it reads, and the
    /// reader itself.
    pub fn of(
        written: &Value,
        reads: &Value,
        reader: Reader,
        decode: &dyn Fn(&Value) -> Result<(), String>,
    ) -> Self {
        let written = reader::written(written);
        let explicit = reader.explicit(reads);
        Self {
            structure: included::judge(&written, &explicit, reader),
            execution: instances::judge(&written, &explicit, decode),
        }
    }

    /// Judges a reader of which there is only the schema of what it reads.
    #[must_use]
    pub fn by_schema(written: &Value, reads: &Value, reader: Reader) -> Self {
        match reader.validator(&reader.explicit(reads)) {
            Ok(validator) => Self::of(written, reads, reader, &|instance| {
                validator.validate(instance).map_err(|err| err.to_string())
            }),
            Err(why) => Self {
                structure: Structure::Unjudged(Finding {
                    path: "$".to_owned(),
                    what: format!("no valid schema: {why}"),
                }),
                execution: Execution::Unjudged(why),
            },
        }
    }

    /// Judges a reader of which there is only the schema of what it would write.
    #[must_use]
    pub fn by_written_schema(written: &Value, reader_writes: &Value, reader: Reader) -> Self {
        Self::by_schema(written, &reader.of_written(reader_writes), reader)
    }

    /// What follows.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (&self.structure, &self.execution) {
            (Structure::Unjudged(_), _) | (_, Execution::Unjudged(_)) => Verdict::Unjudged,
            (Structure::Reads, Execution::Reads { .. }) => Verdict::Compatible,
            (Structure::Breaks(_), Execution::Refuses { .. }) => Verdict::Breaks,
            (Structure::Reads, Execution::Refuses { .. })
            | (Structure::Breaks(_), Execution::Reads { .. }) => Verdict::Disagree,
        }
    }
}
