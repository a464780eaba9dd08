use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;
use crate::name::Key;
use crate::subject_set::Listed;
use crate::version::Version;

/// Something that happened, as every service of the system reads it.
///
/// The type is the contract: its serde form is the JSON on the wire, its schema is generated from
/// it, and its line in a [`subjects!`](crate::subjects) list says who publishes and who listens. It
/// evolves by optional fields; anything else is a new form, and the earlier one moves to
/// [`PAST`](Self::PAST).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "no `impl Event for {Self}`",
    note = "an event derives Serialize, Deserialize and JsonSchema, stands on a `subjects!` list and implements `common::Event`"
)]
pub trait Event:
    Listed + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static
{
    /// The event's line on its list. Another event's line does not compile.
    const SUBJECT: <Self as Listed>::Subjects;

    /// Reads the aggregate's revision, for the version guard. `None`: the event carries none.
    const VERSION: Option<fn(&Self) -> Version> = None;

    /// Whether the event alone is enough to know the aggregate.
    const CARRIES: Carries = Carries::Change;

    /// The earlier forms of the event that may still be in a stream, oldest first. The form of
    /// `Self` has the number after the last of them.
    ///
    /// A message says which form it has (`ce-dataschema`), and one that says nothing has the newest. A
    /// listener is given `Self` only. A form whose `TryFrom` refuses is a dead letter; a form newer
    /// than any here is handed back for an hour, for a replica of the next release may know it.
    ///
    /// To change what an event says, other than by an optional field: keep the struct as it is under
    /// another name, write the new one, and say how the one becomes the other.
    ///
    /// ```
    /// use common::{Event, Key, Past, QueueGroup, StreamName, schemars, subjects};
    /// use schemars::JsonSchema;
    /// use serde::{Deserialize, Serialize};
    ///
    /// const PARCELS: StreamName = StreamName::new("PARCELS");
    /// const DEPOT: QueueGroup = QueueGroup::new("depot");
    /// const BILLING: QueueGroup = QueueGroup::new("billing");
    ///
    /// subjects! {
    ///     /// Every channel of the depot.
    ///     pub enum Depot {
    ///         /// A parcel was weighed.
    ///         ParcelWeighed: "parcel:weighed", stream PARCELS, from DEPOT, to [BILLING];
    ///     }
    /// }
    ///
    /// /// A parcel was weighed.
    /// #[derive(Serialize, Deserialize, JsonSchema)]
    /// pub struct ParcelWeighed {
    ///     parcel: Key,
    ///     grams: u64,
    /// }
    ///
    /// /// A parcel was weighed: the first form, in whatever unit.
    /// #[derive(Serialize, Deserialize, JsonSchema)]
    /// pub struct ParcelWeighedV1 {
    ///     parcel: Key,
    ///     weight: u32,
    ///     unit: String,
    /// }
    ///
    /// impl TryFrom<ParcelWeighedV1> for ParcelWeighed {
    ///     type Error = String;
    ///
    ///     fn try_from(past: ParcelWeighedV1) -> Result<Self, String> {
    ///         let grams = match past.unit.as_str() {
    ///             "g" => u64::from(past.weight),
    ///             "kg" => u64::from(past.weight) * 1000,
    ///             other => return Err(format!("unit `{other}` is not known")),
    ///         };
    ///         Ok(Self { parcel: past.parcel, grams })
    ///     }
    /// }
    ///
    /// impl Event for ParcelWeighed {
    ///     const SUBJECT: Depot = Depot::ParcelWeighed;
    ///     const PAST: &'static [Past<Self>] = &[Past::of::<ParcelWeighedV1>()];
    ///
    ///     fn key(&self) -> Key {
    ///         self.parcel.clone()
    ///     }
    /// }
    /// ```
    const PAST: &'static [Past<Self>] = &[];

    /// What the event is about: the id of its aggregate.
    fn key(&self) -> Key;
}

/// The aggregate's revision. Not a method of [`Event`]: written by hand there, it could contradict
/// [`VERSION`](Event::VERSION), by which the checks at the start go.
pub(crate) fn version_of<E: Event>(event: &E) -> Option<Version> {
    E::VERSION.map(|version| version(event))
}

/// How much of its aggregate an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carries {
    /// What changed. Without its predecessors the event cannot be applied.
    Change,
    /// All of it. When a predecessor can never come, the event is a new start.
    WholeState,
}

/// An earlier form of the event `E`.
pub struct Past<E> {
    decode: fn(&[u8]) -> Result<E, FormError>,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

impl<E> Past<E> {
    /// The form `P`, which becomes an `E` by `TryInto`.
    #[must_use]
    pub const fn of<P>() -> Self
    where
        P: DeserializeOwned + JsonSchema + TryInto<E, Error: Into<BoxError>>,
    {
        Self {
            decode: |payload| {
                let past: P = serde_json::from_slice(payload).map_err(FormError::Payload)?;
                past.try_into().map_err(|err| FormError::Upcast(err.into()))
            },
            schema: |generator| generator.root_schema_for::<P>(),
        }
    }

    pub(crate) fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }
}

impl<E> fmt::Debug for Past<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Past").finish_non_exhaustive()
    }
}

/// Why a payload cannot be read as the form of an event that it is said to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// The event has no form of this number.
    #[error("there is no form {version}; there are 1 to {newest}")]
    NoForm {
        /// The number.
        version: usize,
        /// The form that the event has today.
        newest: usize,
    },
    /// It is not of that form.
    #[error(transparent)]
    Payload(serde_json::Error),
    /// It is of that form, whose `TryFrom` refuses.
    #[error(transparent)]
    Upcast(BoxError),
}

/// Reads a payload of the form `version`; an earlier one becomes an `E`.
pub(crate) fn decode_form<E: Event>(version: usize, payload: &[u8]) -> Result<E, FormError> {
    let newest = schema_version::<E>();
    if !(1..=newest).contains(&version) {
        return Err(FormError::NoForm { version, newest });
    }
    match E::PAST.get(version - 1) {
        Some(past) => (past.decode)(payload),
        None => serde_json::from_slice(payload).map_err(FormError::Payload),
    }
}

/// The number of the form that `E` has today: 1, plus one for each of [`Event::PAST`].
pub(crate) const fn schema_version<E: Event>() -> usize {
    E::PAST.len() + 1
}
