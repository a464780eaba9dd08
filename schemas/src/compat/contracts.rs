//! The present list against the released one: each form in each direction, and what is beyond a schema.

use common::{Contract, SubjectSet};

use super::reader::{self, Reader};
use super::report::{Break, Direction, Found, Report};
use super::{Execution, Finding, Judgement, instances};
use crate::json;
use crate::released::{EventState, FormState, State};

/// Judges the list `S` against the state that was released.
///
/// The present side reads by its types, the released side by its schemas.
#[must_use]
pub fn against_release<S: SubjectSet>(released: &State) -> Report {
    let mut report = Report::against(format!("release {}", released.release));
    let present = State::present::<S>();
    for (new, contract) in present.events.iter().zip(Contract::<S>::all()) {
        let decode = |form: &FormState| {
            let version = form.version;
            let contract = &contract;
            move |instance: &serde_json::Value| {
                let payload = instance.to_string();
                contract
                    .decode(version, payload.as_bytes())
                    .map_err(|err| chain(&err))
            }
        };
        for form in &new.forms {
            own_schema(new, form, &decode(form), &mut report);
        }
        let Some(old) = find(released, &new.subject) else {
            continue;
        };
        for form in &old.forms {
            if let Some(now) = new.form(form.version) {
                let judgement =
                    Judgement::of(&form.written, &now.read, Reader::Serde, &decode(now));
                report.enter(&judgement, new_reads_old(new, form));
            }
        }
        if let Some(now) = new.newest() {
            match old.form(now.version) {
                Some(form) => {
                    let judgement = Judgement::by_schema(&now.written, &form.read, Reader::Serde);
                    report.enter(&judgement, old_reads_new(old, form));
                }
                None => report.note(&new.subject, new_form(old, new, now)),
            }
        }
    }
    lists(released, &present, &mut report);
    report
}

fn find<'s>(state: &'s State, subject: &str) -> Option<&'s EventState> {
    state.events.iter().find(|event| event.subject == subject)
}

fn chain(err: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(err), |err| err.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

/// What a type reads, and its schema says that it reads, must be the same: else every judgement by
/// that schema is worth nothing, also the one that a later state makes of this one.
fn own_schema(
    event: &EventState,
    form: &FormState,
    decode: &dyn Fn(&serde_json::Value) -> Result<(), String>,
    report: &mut Report,
) {
    let read = Reader::Serde.explicit(&form.read);
    for schema in [&reader::written(&form.written), &read] {
        let (what, shown) = match instances::judge(schema, &read, decode) {
            Execution::Reads { .. } => continue,
            Execution::Refuses { instance, why } => (
                "the type does not read what its own schema says".to_owned(),
                Some(format!("{instance} is refused: {why}")),
            ),
            Execution::Unjudged(what) => (
                format!("cannot be judged, which counts as a break: {what}"),
                None,
            ),
        };
        report.breaks.push(Break {
            event: event.subject.clone(),
            form: Some(form.version),
            direction: None,
            changes: vec![at("$", what)],
            groups: event.groups.clone(),
            shown,
            instead: "let the type's `JsonSchema` say what its `Deserialize` does".to_owned(),
        });
        return;
    }
}

fn new_reads_old<'a>(new: &'a EventState, form: &FormState) -> Found<'a> {
    let (version, next) = (form.version, form.version + 1);
    Found {
        event: &new.subject,
        form: Some(version),
        direction: Some(Direction::NewReadsOld),
        groups: &new.groups,
        instead: format!(
            "read what v{version} wrote: an Option or a default for what it lacks; or keep the released type in `Event::PAST` with a `TryFrom`, so that this becomes v{next}"
        ),
    }
}

fn old_reads_new<'a>(old: &'a EventState, form: &FormState) -> Found<'a> {
    let (version, next) = (form.version, form.version + 1);
    Found {
        event: &old.subject,
        form: Some(version),
        direction: Some(Direction::OldReadsNew),
        groups: &old.groups,
        instead: format!(
            "write what readers of v{version} need; or keep the released type in `Event::PAST` with a `TryFrom`, so that this becomes v{next}, and deploy the readers before {}",
            old.producer
        ),
    }
}

fn new_form(old: &EventState, new: &EventState, form: &FormState) -> String {
    let (version, known, groups) = (form.version, old.forms.len(), old.groups.join(", "));
    format!(
        "v{version} is new: a replica that knows v{known} hands it back for an hour, and then it is a dead letter; deploy {groups} before {}",
        new.producer
    )
}

fn at(path: &str, what: impl Into<String>) -> Finding {
    Finding {
        path: path.to_owned(),
        what: what.into(),
    }
}

/// What no schema shows: lines that went, came or say something else.
fn lists(released: &State, present: &State, report: &mut Report) {
    for old in &released.events {
        match find(present, &old.subject) {
            Some(new) => line(old, new, report),
            None => report.breaks.push(gone(old, released, present)),
        }
        // What was not versioned and now is comes to the version guard as a new channel does.
        let became_versioned = |new: &&EventState| new.versioned && !old.versioned;
        if let Some(new) = find(present, &old.subject).filter(became_versioned) {
            report.breaks.extend(carries_version(new, released));
        }
    }
    let came = present
        .events
        .iter()
        .filter(|new| find(released, &new.subject).is_none());
    for new in came {
        report.note(
            &new.subject,
            format!(
                "is new; {} read it from its beginning",
                new.groups.join(", ")
            ),
        );
        if new.versioned {
            report.breaks.extend(carries_version(new, released));
        }
    }
}

fn beyond_schema(
    event: &EventState,
    direction: Direction,
    groups: Vec<String>,
    what: String,
    instead: String,
) -> Break {
    Break {
        event: event.subject.clone(),
        form: None,
        direction: Some(direction),
        changes: vec![at("$", what)],
        groups,
        shown: None,
        instead,
    }
}

fn gone(old: &EventState, released: &State, present: &State) -> Break {
    let schema = |event: &EventState| {
        event
            .newest()
            .map(|form| json::without_comments(&form.written))
    };
    let same =
        |new: &&EventState| find(released, &new.subject).is_none() && schema(new) == schema(old);
    let renamed = present.events.iter().find(same);
    let renamed = renamed.map(|new| {
        format!(
            "; `{}` has the same fields, as if it were renamed",
            new.subject
        )
    });
    beyond_schema(
        old,
        Direction::OldReadsNew,
        old.groups.clone(),
        format!("the channel is gone from the list{}", renamed.unwrap_or_default()),
        "keep the line, and publish on the new channel beside it, until its readers listen there and what is stored has aged out; \
         then `release --accept-breaks`"
            .to_owned(),
    )
}

fn line(old: &EventState, new: &EventState, report: &mut Report) {
    let mut found = |direction, groups: Vec<String>, what: String, instead: String| {
        report
            .breaks
            .push(beyond_schema(new, direction, groups, what, instead));
    };
    if old.stream != new.stream {
        found(
            Direction::NewReadsOld,
            new.groups.clone(),
            format!(
                "the stream is {} and was {}: what is stored there is not read any more, and versions are counted per stream",
                new.stream, old.stream
            ),
            "keep the stream; a new event may stand on another".to_owned(),
        );
    }
    if old.producer != new.producer {
        found(
            Direction::OldReadsNew,
            old.groups.clone(),
            format!(
                "{} publishes, and {} did: two outboxes have no order between them, and events have another source",
                new.producer, old.producer
            ),
            format!(
                "let {} empty its outbox and stop before {} begins; then `release --accept-breaks`",
                old.producer, new.producer
            ),
        );
    }
    if old.versioned && !new.versioned {
        found(
            Direction::OldReadsNew,
            old.groups.clone(),
            "the event carries its aggregate's version no more: later versions wait for it for ever".to_owned(),
            "keep `Event::VERSION`".to_owned(),
        );
    }
    let lost = new.forms.len() + 1;
    if lost <= old.forms.len() {
        found(
            Direction::NewReadsOld,
            new.groups.clone(),
            format!("v{lost} was released, and is no form now: stored events name it"),
            "keep every released form in `Event::PAST`, in its place".to_owned(),
        );
    }
    let lost: Vec<_> = old
        .groups
        .iter()
        .filter(|group| !new.groups.contains(group))
        .cloned()
        .collect();
    if !lost.is_empty() {
        found(
            Direction::NewReadsOld,
            lost,
            "the line does not name the group any more: its consumer still delivers the channel, and what a replica does not know is dead after an hour".to_owned(),
            "keep the listener until no old replica runs; then `sgt provision --prune` with the new list, and `release --accept-breaks`".to_owned(),
        );
    }
    let won = new
        .groups
        .iter()
        .filter(|group| !old.groups.contains(group));
    for group in won {
        report.note(&new.subject, format!("{group} is new on the line: it reads the channel from its beginning if it has no consumer on {} yet; deploy all its replicas within an hour", new.stream));
    }
}

/// A channel that begins to carry versions: a group that reads every version of the aggregate and does
/// not listen there waits for the versions that pass there.
fn carries_version(new: &EventState, released: &State) -> Option<Break> {
    let of_the_aggregate = released
        .events
        .iter()
        .filter(|old| old.versioned && old.stream == new.stream);
    let mut groups: Vec<String> = of_the_aggregate
        .flat_map(|old| old.groups.iter().cloned())
        .collect();
    groups.sort_unstable();
    groups.dedup();
    if groups.is_empty() {
        return None;
    }
    let unnamed: Vec<_> = groups
        .iter()
        .filter(|group| !new.groups.contains(group))
        .cloned()
        .collect();
    let unnamed = if unnamed.is_empty() {
        String::new()
    } else {
        format!(" name {} on its line,", unnamed.join(" and "))
    };
    Some(beyond_schema(
        new,
        Direction::OldReadsNew,
        groups.clone(),
        format!(
            "the channel is new to the versions of {}: whoever of {} reads every version waits for those that pass here",
            new.stream,
            groups.join(", ")
        ),
        format!(
            "with groups that read every version:{unnamed} deploy them everywhere before {} publishes the first; then `release --accept-breaks`",
            new.producer
        ),
    ))
}
