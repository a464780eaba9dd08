use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::Value;

use crate::cloud_events as ce;
use crate::event::{Carries, Event, FormError, decode_form, schema_version};
use crate::name::{QueueGroup, StreamName};
use crate::subject_set::{EventVisitor, Listed, SubjectSet};

mod headers;

/// What one line of a list promises, as plain data: for schemas, documents and the tools of other
/// languages.
///
/// ```
/// use common::{Contract, ORDERS_SERVICE, Subjects};
///
/// let contracts = Contract::<Subjects>::all();
/// let ticket_created = &contracts[0];
/// assert_eq!(ticket_created.subject, Subjects::TicketCreated);
/// assert!(ticket_created.consumers.contains(&ORDERS_SERVICE));
/// assert_eq!(ticket_created.forms[0].id, "urn:sgtickets:ticket.created:1");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Contract<S> {
    /// The channel.
    pub subject: S,
    /// The channel as a file name has it: `ticket.created`.
    pub file_stem: String,
    /// The stream that stores the events.
    pub stream: StreamName,
    /// The service that publishes.
    pub producer: QueueGroup,
    /// The queue groups that may listen.
    pub consumers: &'static [QueueGroup],
    /// Whether the events carry their aggregate's revision.
    pub versioned: bool,
    /// How much of its aggregate an event tells.
    pub carries: Carries,
    /// Every form of the event, oldest first. The last is the one that is published.
    pub forms: Vec<Form>,
}

/// One form of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    /// The form's number, the first being 1.
    pub version: usize,
    /// The form's name, which every event names in `ce-dataschema`: `urn:sgtickets:ticket.created:1`.
    pub id: String,
    /// What a publisher writes, as a JSON Schema (draft 2020-12).
    pub schema: Value,
    /// What a listener reads, as one: more than is written, where a field has a default.
    pub reads: Value,
}

impl<S: SubjectSet> Contract<S> {
    /// The contract of every channel, in the order of the list.
    #[must_use]
    pub fn all() -> Vec<Self> {
        S::ALL.iter().map(|&subject| Self::of(subject)).collect()
    }

    /// The contract of one channel.
    #[must_use]
    pub fn of(subject: S) -> Self {
        let mut reader = Reader::default();
        subject.visit(&mut reader);
        Self {
            subject,
            file_stem: ce::file_stem(subject.as_str()),
            stream: subject.stream(),
            producer: subject.producer(),
            consumers: subject.consumers(),
            versioned: reader.versioned,
            carries: reader.carries,
            forms: reader.forms,
        }
    }

    /// Reads a payload of the form `version` as a listener does, and says why it cannot be read.
    ///
    /// # Errors
    ///
    /// [`FormError`] if the payload is no such form, cannot become the newest, or there is no such form.
    pub fn decode(&self, version: usize, payload: &[u8]) -> Result<(), FormError> {
        let mut decoder = Decoder {
            version,
            payload,
            decoded: Ok(()),
        };
        self.subject.visit(&mut decoder);
        decoder.decoded
    }
}

/// Reads a payload as the event's type, which it forgets.
struct Decoder<'p> {
    version: usize,
    payload: &'p [u8],
    decoded: Result<(), FormError>,
}

impl EventVisitor for Decoder<'_> {
    fn visit<E: Event>(&mut self) {
        self.decoded = decode_form::<E>(self.version, self.payload).map(drop);
    }
}

/// Reads what only the event's type knows.
struct Reader {
    versioned: bool,
    carries: Carries,
    forms: Vec<Form>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            versioned: false,
            carries: Carries::Change,
            forms: Vec::new(),
        }
    }
}

impl EventVisitor for Reader {
    fn visit<E: Event>(&mut self) {
        // What is on the wire is what was written; a default that a reader fills in is not.
        let written = schemas_of::<E>(&SchemaSettings::draft2020_12().for_serialize());
        let read = schemas_of::<E>(&SchemaSettings::draft2020_12().for_deserialize());
        let forms = written.into_iter().zip(read).zip(1..);
        let forms = forms.map(|((schema, reads), version)| Form {
            version,
            id: ce::data_schema(<E as Listed>::CHANNEL, version),
            schema,
            reads,
        });
        self.forms = forms.collect();
        debug_assert_eq!(self.forms.len(), schema_version::<E>());
        self.versioned = E::VERSION.is_some();
        self.carries = E::CARRIES;
    }
}

/// The schema of every form, oldest first.
fn schemas_of<E: Event>(settings: &SchemaSettings) -> Vec<Value> {
    let generator = || settings.clone().into_generator();
    let past = E::PAST.iter().map(|past| past.schema(&mut generator()));
    let present = generator().into_root_schema_for::<E>();
    let schemas = past.chain([present]).map(|mut schema| {
        PlainDescriptions.transform(&mut schema);
        schema.to_value()
    });
    schemas.collect()
}

/// Makes doc comments readable where rustdoc is not: a link becomes its text.
struct PlainDescriptions;

impl Transform for PlainDescriptions {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::String(text)) = schema.get("description") {
            let plain = without_links(text);
            schema.insert("description".to_owned(), plain.into());
        }
        transform_subschemas(self, schema);
    }
}

/// ``[`version`](Self::version)`` and ``[`version`]`` become `` `version` ``.
fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        plain.push_str(before);
        let Some((label, after)) = link.split_once("`]") else {
            plain.push_str("[`");
            rest = link;
            continue;
        };
        plain.extend(["`", label, "`"]);
        rest = match after
            .strip_prefix('(')
            .and_then(|target| target.split_once(')'))
        {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{Key, ORDERS, ORDERS_SERVICE, Past, Subjects, TICKETS_SERVICE, Version, subjects};

    subjects! {
        /// A list with an event that has a past.
        enum Moves {
            /// Something moved.
            Moved: "thing:moved", stream ORDERS, from ORDERS_SERVICE, to [TICKETS_SERVICE];
        }
    }

    /// Something moved. Order by [`version`](Self::version), see [`Key`].
    #[derive(Serialize, Deserialize, schemars::JsonSchema)]
    struct Moved {
        thing: String,
        #[serde(default)]
        metres: u32,
        version: Version,
    }

    #[derive(Serialize, Deserialize, schemars::JsonSchema)]
    struct MovedInFeet {
        thing: String,
        feet: u32,
    }

    impl From<MovedInFeet> for Moved {
        fn from(past: MovedInFeet) -> Self {
            Self {
                thing: past.thing,
                metres: past.feet / 3,
                version: Version::FIRST,
            }
        }
    }

    impl Event for Moved {
        const SUBJECT: Moves = Moves::Moved;
        const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);
        const PAST: &'static [Past<Self>] = &[Past::of::<MovedInFeet>()];

        fn key(&self) -> Key {
            Key::from_valid(self.thing.clone())
        }
    }

    #[test]
    fn every_channel_is_described_in_the_order_of_the_list() {
        let contracts = Contract::<Subjects>::all();
        let subjects: Vec<_> = contracts.iter().map(|contract| contract.subject).collect();
        assert_eq!(subjects, Subjects::ALL);
        for contract in contracts {
            assert_eq!(contract.forms.len(), 1, "{}", contract.subject);
        }
    }

    #[test]
    fn every_form_has_its_number_and_the_schema_of_what_was_written() {
        let contract = Contract::of(Moves::Moved);
        assert!(contract.versioned);
        assert_eq!(contract.carries, Carries::Change);
        let [first, second] = &contract.forms[..] else {
            panic!("{contract:?}");
        };
        assert_eq!((first.version, second.version), (1, 2));
        assert_eq!(first.id, "urn:sgtickets:thing.moved:1");
        assert_eq!(second.id, "urn:sgtickets:thing.moved:2");
        assert!(first.schema["properties"]["feet"].is_object());
        let required = second.schema["required"].to_string();
        assert!(required.contains("metres"), "{required}");
        let read = second.reads["required"].to_string();
        assert!(!read.contains("metres"), "it has a default: {read}");
    }

    #[test]
    fn payload_is_decoded_as_the_form_that_is_asked_for() {
        let contract = Contract::of(Moves::Moved);
        let in_feet = br#"{"thing": "a", "feet": 6}"#;
        assert!(contract.decode(1, in_feet).is_ok());
        assert!(contract.decode(2, in_feet).is_err());
        assert!(
            contract
                .decode(2, br#"{"thing": "a", "version": 1}"#)
                .is_ok()
        );
        for unknown in [0, 3] {
            let err = contract.decode(unknown, in_feet).unwrap_err();
            assert!(err.to_string().contains("no form"), "{err}");
        }
    }

    #[test]
    fn description_has_no_links() {
        let contract = Contract::of(Moves::Moved);
        assert_eq!(
            contract.forms[1].schema["description"],
            "Something moved. Order by `version`, see `Key`."
        );
        assert_eq!(without_links("a [`b"), "a [`b");
        assert_eq!(without_links("[1] [`b`](c) (d)"), "[1] `b` (d)");
    }
}
