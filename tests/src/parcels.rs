//! One channel as three releases of its list have it: its event has another form in each.

use common::{BoxError, Event, Key, Past, StreamName, Version, schemars, subjects};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::notes::{READERS, WRITERS};

/// What is weighed.
pub const PARCELS: StreamName = StreamName::new("PARCELS");

subjects! {
    /// The list of the first release.
    pub enum FirstParcels {
        /// A parcel was weighed.
        FirstWeighed: "parcel:weighed", stream PARCELS, from WRITERS, to [READERS];
    }
}

subjects! {
    /// The list of the second release.
    pub enum SecondParcels {
        /// A parcel was weighed.
        SecondWeighed: "parcel:weighed", stream PARCELS, from WRITERS, to [READERS];
    }
}

subjects! {
    /// The list of the third release.
    pub enum Parcels {
        /// A parcel was weighed.
        Weighed: "parcel:weighed", stream PARCELS, from WRITERS, to [READERS];
    }
}

/// A parcel was weighed: in a unit of the scale's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirstWeighed {
    /// The key.
    pub parcel: Key,
    /// The how manieth time.
    pub version: Version,
    /// How much, in that unit.
    pub weight: u32,
    /// The unit.
    pub unit: String,
}

/// A parcel was weighed: in grams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecondWeighed {
    /// The key.
    pub parcel: Key,
    /// The how manieth time.
    pub version: Version,
    /// How much.
    pub grams: u32,
}

/// A parcel was weighed: in grams, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Weighed {
    /// The key.
    pub parcel: Key,
    /// The how manieth time.
    pub version: Version,
    /// How much.
    pub grams: u32,
    /// On which scale.
    pub scale: String,
}

fn key(parcel: &str) -> Key {
    Key::new(parcel).unwrap()
}

fn version(number: u64) -> Version {
    Version::try_from(number).unwrap()
}

impl FirstWeighed {
    /// In the first release's words.
    #[must_use]
    pub fn of(parcel: &str, number: u64, weight: u32, unit: &str) -> Self {
        Self {
            parcel: key(parcel),
            version: version(number),
            weight,
            unit: unit.to_owned(),
        }
    }
}

impl SecondWeighed {
    /// In the second release's words.
    #[must_use]
    pub fn of(parcel: &str, number: u64, grams: u32) -> Self {
        Self {
            parcel: key(parcel),
            version: version(number),
            grams,
        }
    }
}

impl Weighed {
    /// In the third release's words.
    #[must_use]
    pub fn of(parcel: &str, number: u64, grams: u32, scale: &str) -> Self {
        let SecondWeighed {
            parcel,
            version,
            grams,
        } = SecondWeighed::of(parcel, number, grams);
        Self {
            parcel,
            version,
            grams,
            scale: scale.to_owned(),
        }
    }
}

impl TryFrom<FirstWeighed> for SecondWeighed {
    type Error = BoxError;

    fn try_from(past: FirstWeighed) -> Result<Self, BoxError> {
        let grams = match past.unit.as_str() {
            "g" => past.weight,
            "kg" => past
                .weight
                .checked_mul(1000)
                .ok_or("no scale goes so far")?,
            other => return Err(format!("unit `{other}` is not known").into()),
        };
        Ok(Self {
            parcel: past.parcel,
            version: past.version,
            grams,
        })
    }
}

impl From<SecondWeighed> for Weighed {
    fn from(past: SecondWeighed) -> Self {
        Self {
            parcel: past.parcel,
            version: past.version,
            grams: past.grams,
            scale: "unknown".to_owned(),
        }
    }
}

impl TryFrom<FirstWeighed> for Weighed {
    type Error = BoxError;

    fn try_from(past: FirstWeighed) -> Result<Self, BoxError> {
        SecondWeighed::try_from(past).map(Self::from)
    }
}

impl Event for FirstWeighed {
    const SUBJECT: FirstParcels = FirstParcels::FirstWeighed;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);

    fn key(&self) -> Key {
        self.parcel.clone()
    }
}

impl Event for SecondWeighed {
    const SUBJECT: SecondParcels = SecondParcels::SecondWeighed;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);
    const PAST: &'static [Past<Self>] = &[Past::of::<FirstWeighed>()];

    fn key(&self) -> Key {
        self.parcel.clone()
    }
}

impl Event for Weighed {
    const SUBJECT: Parcels = Parcels::Weighed;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);
    const PAST: &'static [Past<Self>] = &[Past::of::<FirstWeighed>(), Past::of::<SecondWeighed>()];

    fn key(&self) -> Key {
        self.parcel.clone()
    }
}
