//! The state of the list that was released last: who reads what, and the schemas of every form.

mod folder;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use common::{Contract, SubjectSet};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::documents::Documents;
use crate::json;

pub use folder::{ReleaseError, Replaced, replace};

/// The file that says what is in the folder.
const INDEX: &str = "index.json";
/// What the folder says of itself.
const COMMENT: &str = "Written by `cargo run -p schemas -- release`. Do not edit: later states are judged against it.";

/// A list of events with all their forms, released or present.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The version of the release.
    pub release: String,
    /// The events, in the order of the list.
    pub events: Vec<EventState>,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct EventState {
    /// The channel.
    pub subject: String,
    /// The stream.
    pub stream: String,
    /// The service that publishes.
    pub producer: String,
    /// The queue groups that may listen.
    pub groups: Vec<String>,
    /// Whether the event carries its aggregate's version.
    pub versioned: bool,
    /// The forms, oldest first.
    pub forms: Vec<FormState>,
}

/// One form of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct FormState {
    /// The form's number, the first being 1.
    pub version: usize,
    /// The schema of what is published.
    pub written: Value,
    /// The schema of what listeners read.
    pub read: Value,
}

impl EventState {
    /// The form that is published.
    pub(crate) fn newest(&self) -> Option<&FormState> {
        self.forms.last()
    }

    /// The form of that number.
    pub(crate) fn form(&self, version: usize) -> Option<&FormState> {
        self.forms.iter().find(|form| form.version == version)
    }
}

/// Why there is no released state to compare with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// Nothing was ever released into the folder.
    #[error("{} has no released state; `cargo run -p schemas -- release` writes the first", .0.display())]
    Missing(PathBuf),
    /// The index names no event.
    #[error("{} names no event", .0.display())]
    Empty(PathBuf),
    /// A file that the index names is not there.
    #[error("{} is named by the index and is not there; restore it from version control", .0.display())]
    FileMissing(PathBuf),
    /// A file is no JSON, or an index of another shape.
    #[error("{} is not what a release writes; restore it from version control", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file is not the one that was released.
    #[error("{} was changed after the release; restore it from version control", .0.display())]
    Edited(PathBuf),
    /// A file cannot be read.
    #[error("{} could not be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Index {
    #[serde(rename = "$comment")]
    comment: String,
    release: String,
    /// The digest of `events`, which no other file has.
    sha256: String,
    events: Vec<IndexEvent>,
}

#[derive(Serialize, Deserialize)]
struct IndexEvent {
    subject: String,
    stream: String,
    producer: String,
    groups: Vec<String>,
    versioned: bool,
    forms: Vec<IndexForm>,
}

#[derive(Serialize, Deserialize)]
struct IndexForm {
    version: usize,
    written: IndexFile,
    /// Only where more is read than is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read: Option<IndexFile>,
}

#[derive(Serialize, Deserialize)]
struct IndexFile {
    file: String,
    sha256: String,
}

impl Index {
    fn read(folder: &Path) -> Result<Self, BaselineError> {
        let path = folder.join(INDEX);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Err(BaselineError::Missing(folder.to_owned()));
            }
            Err(source) => return Err(BaselineError::Read { path, source }),
        };
        let not_json = |source| BaselineError::NotJson {
            path: path.clone(),
            source,
        };
        let index: Self = serde_json::from_slice(&text).map_err(not_json)?;
        if index.events.is_empty() {
            return Err(BaselineError::Empty(path));
        }
        if index.sha256 != digest(events_text(&index.events).map_err(not_json)?.as_bytes()) {
            return Err(BaselineError::Edited(path));
        }
        Ok(index)
    }

    /// The files that it names.
    fn files(&self) -> impl Iterator<Item = &str> {
        let forms = self.events.iter().flat_map(|event| &event.forms);
        let files = forms.flat_map(|form| [Some(&form.written), form.read.as_ref()]);
        files.flatten().map(|file| &*file.file)
    }
}

impl IndexFile {
    fn of(file: String, text: &str) -> Self {
        Self {
            file,
            sha256: digest(text.as_bytes()),
        }
    }
}

impl State {
    /// The state that the types are in.
    #[must_use]
    pub fn present<S: SubjectSet>() -> Self {
        let events = Contract::<S>::all().into_iter().map(|contract| EventState {
            subject: contract.subject.to_string(),
            stream: contract.stream.to_string(),
            producer: contract.producer.to_string(),
            groups: contract.consumers.iter().map(ToString::to_string).collect(),
            versioned: contract.versioned,
            forms: contract
                .forms
                .into_iter()
                .map(|form| FormState {
                    version: form.version,
                    written: form.schema,
                    read: form.reads,
                })
                .collect(),
        });
        Self {
            release: env!("CARGO_PKG_VERSION").to_owned(),
            events: events.collect(),
        }
    }

    /// Reads the state that was released into `folder`.
    ///
    /// # Errors
    ///
    /// [`BaselineError`] if there is none, or not as it was released.
    pub fn read(folder: &Path) -> Result<Self, BaselineError> {
        let index = Index::read(folder)?;
        let events = index
            .events
            .into_iter()
            .map(|event| read_event(folder, event));
        Ok(Self {
            release: index.release,
            events: events.collect::<Result<_, _>>()?,
        })
    }

    /// The files of the release: the generated schemas of the same state, what is read where that is
    /// more, and the index.
    ///
    /// # Errors
    ///
    /// If the index has no JSON form.
    pub fn to_documents(&self, generated: &Documents) -> Result<Documents, serde_json::Error> {
        let mut documents: Documents = generated
            .iter()
            .filter(|(path, _)| path.starts_with("json/"))
            .map(|(path, text)| (path.clone(), text.clone()))
            .collect();
        let mut events = Vec::new();
        for event in &self.events {
            let forms = event
                .forms
                .iter()
                .map(|form| index_form(event, form, &mut documents));
            events.push(IndexEvent {
                subject: event.subject.clone(),
                stream: event.stream.clone(),
                producer: event.producer.clone(),
                groups: event.groups.clone(),
                versioned: event.versioned,
                forms: forms.collect(),
            });
        }
        let index = Index {
            comment: COMMENT.to_owned(),
            release: self.release.clone(),
            sha256: digest(events_text(&events)?.as_bytes()),
            events,
        };
        documents.insert(
            INDEX.to_owned(),
            json::to_text(&serde_json::to_value(index)?),
        );
        Ok(documents)
    }
}

fn index_form(event: &EventState, form: &FormState, documents: &mut Documents) -> IndexForm {
    let name = format!("{}.v{}.json", event.subject.replace(':', "."), form.version);
    let file = format!("json/{name}");
    let text = documents
        .entry(file.clone())
        .or_insert_with(|| json::to_text(&form.written));
    let written = IndexFile::of(file, text);
    let more = json::without_comments(&form.written) != json::without_comments(&form.read);
    let read = more.then(|| {
        let (file, text) = (format!("read/{name}"), json::to_text(&form.read));
        let read = IndexFile::of(file.clone(), &text);
        documents.insert(file, text);
        read
    });
    IndexForm {
        version: form.version,
        written,
        read,
    }
}

fn read_event(folder: &Path, event: IndexEvent) -> Result<EventState, BaselineError> {
    let mut forms = Vec::new();
    for form in event.forms {
        let written = read_file(folder, &form.written)?;
        let read = match &form.read {
            Some(file) => read_file(folder, file)?,
            None => written.clone(),
        };
        forms.push(FormState {
            version: form.version,
            written,
            read,
        });
    }
    Ok(EventState {
        subject: event.subject,
        stream: event.stream,
        producer: event.producer,
        groups: event.groups,
        versioned: event.versioned,
        forms,
    })
}

fn read_file(folder: &Path, file: &IndexFile) -> Result<Value, BaselineError> {
    let path = folder.join(&file.file);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            return Err(BaselineError::FileMissing(path));
        }
        Err(source) => return Err(BaselineError::Read { path, source }),
    };
    match serde_json::from_slice(&text) {
        Ok(schema) if digest(&text) == file.sha256 => Ok(schema),
        Ok(_) => Err(BaselineError::Edited(path)),
        Err(source) => Err(BaselineError::NotJson { path, source }),
    }
}

/// The same text whatever the order of keys in the file.
fn events_text(events: &[IndexEvent]) -> Result<String, serde_json::Error> {
    Ok(json::to_text(&serde_json::to_value(events)?))
}

fn digest(text: &[u8]) -> String {
    Sha256::digest(text)
        .iter()
        .fold(String::new(), |mut digest, byte| {
            let _ = write!(digest, "{byte:02x}");
            digest
        })
}
