//! The gate on lists of events: what breaks whom, and what it says of input that it cannot use.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::{
    Event, Key, ORDERS, ORDERS_SERVICE, PAYMENTS_SERVICE, Past, SubjectSet as _, Subjects,
    TICKETS_SERVICE, Version, schemars, subjects,
};
use schemas::compat::{Break, Direction, Report, against_release};
use schemas::released::{EventState, FormState, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The state as if `edit` had been undone after the release.
fn released(edit: impl FnOnce(&mut State)) -> Report {
    let mut state = State::present::<Subjects>();
    edit(&mut state);
    against_release::<Subjects>(&state)
}

fn event<'s>(state: &'s mut State, subject: &str) -> &'s mut EventState {
    state
        .events
        .iter_mut()
        .find(|event| event.subject == subject)
        .unwrap()
}

/// Edits the released schemas of an event, what is written and what is read.
fn schemas(state: &mut State, subject: &str, edit: impl Fn(&mut Value)) {
    for form in &mut event(state, subject).forms {
        edit(&mut form.written);
        edit(&mut form.read);
    }
}

#[track_caller]
fn only_break(report: &Report) -> &Break {
    let [found] = &report.breaks[..] else {
        panic!("{report}");
    };
    found
}

#[test]
fn unchanged_list_is_compatible() {
    // Guard: when the schema of a title took a single space, which the type refuses, this failed.
    let report = released(|_| ());
    assert!(report.is_compatible(), "{report}");
    assert_eq!(report.notes, []);
    // Each form in each direction.
    assert_eq!(report.judged, 2 * Subjects::ALL.len());
}

#[test]
fn renamed_field_names_the_field_the_direction_and_the_groups() {
    let report = released(|state| {
        schemas(state, "ticket:created", |schema| {
            let fields = schema["properties"].as_object_mut().unwrap();
            let price = fields.remove("price").unwrap();
            fields.insert("cost".to_owned(), price);
            let required = schema["required"].as_array_mut().unwrap();
            *required.iter_mut().find(|name| *name == "price").unwrap() = json!("cost");
        });
    });
    let [backward, forward] = &report.breaks[..] else {
        panic!("{report}");
    };
    assert_eq!(backward.direction, Some(Direction::NewReadsOld));
    assert_eq!(backward.changes[0].path, "$.price");
    assert!(backward.changes[0].what.contains("`cost` is written"));
    assert!(
        backward
            .shown
            .as_ref()
            .unwrap()
            .contains("missing field `price`")
    );
    assert_eq!(forward.direction, Some(Direction::OldReadsNew));
    assert_eq!(forward.changes[0].path, "$.cost");
    let text = report.to_string();
    assert!(
        text.contains("breaks orders-service and payments-service, which read ticket:created v1"),
        "{text}"
    );
    assert!(text.contains("Event::PAST"), "{text}");
}

#[test]
fn optional_field_added_is_compatible() {
    let report = released(|state| {
        schemas(state, "ticket:updated", |schema| {
            schema["properties"]
                .as_object_mut()
                .unwrap()
                .remove("orderId")
                .unwrap();
        });
    });
    assert!(report.is_compatible(), "{report}");
}

#[test]
fn field_of_an_inner_type_is_found_by_its_path() {
    let report = released(|state| {
        schemas(state, "order:created", |schema| {
            schema["$defs"]["PricedTicket"]["properties"]["price"]["maximum"] = json!(1000);
        });
    });
    let forward = only_break(&report);
    assert_eq!(forward.direction, Some(Direction::OldReadsNew));
    assert_eq!(forward.changes[0].path, "$.ticket.price");
    assert_eq!(forward.groups, ["tickets-service", "payments-service"]);
}

#[test]
fn schema_that_cannot_be_judged_is_no_compatible_one() {
    let report = released(|state| {
        schemas(state, "order:created", |schema| {
            schema["properties"]["version"]["multipleOf"] = json!(1);
        });
    });
    assert_eq!(report.breaks.len(), 2, "{report}");
    let what = &report.breaks[0].changes[0].what;
    assert!(
        what.contains("cannot be judged") && what.contains("multipleOf"),
        "{what}"
    );
}

#[test]
fn removed_and_renamed_channels_break_their_readers() {
    let report =
        released(|state| event(state, "payment:refunded").subject = "payment:returned".to_owned());
    let gone = only_break(&report);
    assert_eq!(gone.event, "payment:returned");
    assert_eq!(gone.groups, ["orders-service"]);
    assert!(
        gone.changes[0]
            .what
            .contains("`payment:refunded` has the same fields"),
        "{report}"
    );
    assert_eq!(report.notes[0].event, "payment:refunded");
}

#[track_caller]
fn line_breaks(edit: impl FnOnce(&mut EventState), groups: &[&str], what: &str) {
    let report = released(|state| edit(event(state, "ticket:updated")));
    let found = only_break(&report);
    assert_eq!(found.groups, groups);
    assert!(found.changes[0].what.contains(what), "{report}");
}

#[test]
fn line_that_says_something_else_breaks_its_readers() {
    let both = ["orders-service", "payments-service"];
    line_breaks(
        |old| old.stream = "ORDERS".to_owned(),
        &both,
        "the stream is TICKETS and was ORDERS",
    );
    line_breaks(
        |old| old.producer = "orders-service".to_owned(),
        &both,
        "tickets-service publishes",
    );
    line_breaks(
        |old| old.groups.push("mailer".to_owned()),
        &["mailer"],
        "does not name the group any more",
    );
    line_breaks(
        |old| {
            let second = FormState {
                version: 2,
                ..old.forms[0].clone()
            };
            old.forms.push(second);
        },
        &both,
        "v2 was released, and is no form now",
    );
}

#[test]
fn group_that_is_new_on_a_line_is_a_note() {
    let report = released(|state| {
        event(state, "ticket:updated")
            .groups
            .retain(|group| group == "orders-service");
    });
    assert!(report.is_compatible(), "{report}");
    assert!(
        report.notes[0]
            .note
            .contains("payments-service is new on the line"),
        "{report}"
    );
}

#[test]
fn new_channel_with_versions_breaks_who_reads_every_version_of_the_aggregate() {
    // Guard: without `carries_version` the list below is compatible.
    let report = released(|state| {
        state
            .events
            .retain(|event| event.subject != "order:cancelled");
    });
    let found = only_break(&report);
    assert_eq!(found.event, "order:cancelled");
    assert_eq!(found.groups, ["payments-service", "tickets-service"]);
    assert!(
        found.changes[0].what.contains("reads every version waits"),
        "{report}"
    );
    assert!(
        found
            .instead
            .contains("before orders-service publishes the first"),
        "{report}"
    );

    let became_versioned = released(|state| event(state, "order:cancelled").versioned = false);
    assert_eq!(only_break(&became_versioned).groups, found.groups);

    let without_version = released(|state| {
        state
            .events
            .retain(|event| event.subject != "payment:created");
    });
    assert!(without_version.is_compatible(), "{without_version}");
}

#[test]
fn channel_that_loses_its_versions_breaks_its_readers() {
    let mut state = State::present::<Subjects>();
    event(&mut state, "payment:created").versioned = true;
    let report = against_release::<Subjects>(&state);
    assert!(
        only_break(&report).changes[0]
            .what
            .contains("wait for it for ever"),
        "{report}"
    );
}

subjects! {
    /// A list whose events have a past.
    enum Moves {
        /// Something moved.
        Moved: "thing:moved", stream ORDERS, from ORDERS_SERVICE, to [TICKETS_SERVICE, PAYMENTS_SERVICE];
        /// Something was named.
        Named: "thing:named", stream ORDERS, from ORDERS_SERVICE, to [TICKETS_SERVICE];
    }
}

/// Something moved.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct Moved {
    thing: Key,
    metres: u32,
    version: Version,
}

/// Something moved, measured in feet.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct MovedInFeet {
    thing: Key,
    feet: u32,
    version: Version,
}

impl From<MovedInFeet> for Moved {
    fn from(past: MovedInFeet) -> Self {
        Self {
            thing: past.thing,
            metres: past.feet / 3,
            version: past.version,
        }
    }
}

impl Event for Moved {
    const SUBJECT: Moves = Moves::Moved;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);
    const PAST: &'static [Past<Self>] = &[Past::of::<MovedInFeet>()];

    fn key(&self) -> Key {
        self.thing.clone()
    }
}

/// Something was named. Its past form cannot always become the present one.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct Named {
    name: Key,
}

/// Something was named with any text.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct NamedWithText {
    name: String,
}

impl TryFrom<NamedWithText> for Named {
    type Error = common::InvalidKey;

    fn try_from(past: NamedWithText) -> Result<Self, Self::Error> {
        Ok(Self {
            name: Key::new(past.name)?,
        })
    }
}

impl Event for Named {
    const SUBJECT: Moves = Moves::Named;
    const PAST: &'static [Past<Self>] = &[Past::of::<NamedWithText>()];

    fn key(&self) -> Key {
        self.name.clone()
    }
}

#[test]
fn new_form_beside_the_released_one_says_who_is_deployed_first() {
    let mut state = State::present::<Moves>();
    event(&mut state, "thing:moved").forms.truncate(1);
    let report = against_release::<Moves>(&state);
    assert!(
        report
            .breaks
            .iter()
            .all(|found| found.event == "thing:named"),
        "{report}"
    );
    let note = &report.notes[0].note;
    assert!(
        note.contains("v2 is new")
            && note.contains("deploy tickets-service, payments-service before orders-service"),
        "{note}"
    );
}

#[test]
fn released_form_is_frozen() {
    let mut state = State::present::<Moves>();
    // As if the past type had been edited since: in the release, the feet could be missing.
    let past = &mut event(&mut state, "thing:moved").forms[0];
    past.written["required"] = json!(["thing", "version"]);
    let report = against_release::<Moves>(&state);
    let found = report
        .breaks
        .iter()
        .find(|found| found.event == "thing:moved")
        .unwrap();
    assert_eq!(
        (found.form, found.direction),
        (Some(1), Some(Direction::NewReadsOld))
    );
    assert_eq!(found.changes[0].path, "$.feet");
}

#[test]
fn upcaster_that_refuses_what_its_form_allows_is_found() {
    // Guard: with the schema in place of the type, this is compatible.
    let report = against_release::<Moves>(&State::present::<Moves>());
    let found = &report.breaks[0];
    assert_eq!(
        (&*found.event, found.form),
        ("thing:named", Some(1)),
        "{report}"
    );
    assert!(
        found.changes[0]
            .what
            .contains("does not read what its own schema says"),
        "{report}"
    );
    let judges = report
        .breaks
        .iter()
        .find(|found| found.direction == Some(Direction::NewReadsOld))
        .unwrap();
    assert!(
        judges.changes[0].what.contains("the judges disagree"),
        "{report}"
    );
    assert!(
        judges.shown.as_ref().unwrap().contains("is no key"),
        "{report}"
    );
}

subjects! {
    /// A list whose event says that it is open, and is not.
    enum Claims {
        /// Something was claimed.
        Claimed: "thing:claimed", stream ORDERS, from ORDERS_SERVICE, to [TICKETS_SERVICE];
    }
}

/// Something was claimed.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct Claimed {
    thing: Key,
    state: Claim,
}

#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(extend("x-open" = true))]
enum Claim {
    Made,
}

impl Event for Claimed {
    const SUBJECT: Claims = Claims::Claimed;

    fn key(&self) -> Key {
        self.thing.clone()
    }
}

#[test]
fn enum_that_says_it_is_open_must_have_a_catch_all() {
    let report = against_release::<Claims>(&State::present::<Claims>());
    let found = only_break(&report);
    assert!(
        found.shown.as_ref().unwrap().contains("unknown variant"),
        "{report}"
    );
}
