//! Edits of Rust types. Whether a side reads the other's events is not an opinion: serde is asked,
//! with values written by hand.

use common::schemars::JsonSchema;
use common::schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::table::Truth;

/// An edit of a type.
pub(crate) struct Typed {
    pub(crate) name: &'static str,
    pub(crate) old: Side,
    pub(crate) new: Side,
}

/// The type before or after.
pub(crate) struct Side {
    pub(crate) written: Value,
    pub(crate) read: Value,
    /// Events that it really wrote.
    pub(crate) values: Vec<Value>,
    pub(crate) decode: fn(&Value) -> Result<(), String>,
}

impl Side {
    fn of<T: Serialize + DeserializeOwned + JsonSchema>(values: Vec<T>) -> Self {
        let schema = |settings: SchemaSettings| {
            settings
                .into_generator()
                .into_root_schema_for::<T>()
                .to_value()
        };
        Self {
            written: schema(SchemaSettings::draft2020_12().for_serialize()),
            read: schema(SchemaSettings::draft2020_12().for_deserialize()),
            values: values
                .into_iter()
                .map(|value| serde_json::to_value(value).unwrap())
                .collect(),
            decode: |value| {
                let read = serde_json::from_slice::<T>(value.to_string().as_bytes());
                read.map(drop).map_err(|err| err.to_string())
            },
        }
    }

    /// What the type makes of these events.
    pub(crate) fn reads(&self, values: &[Value]) -> Truth {
        if values.iter().all(|value| (self.decode)(value).is_ok()) {
            Truth::Reads
        } else {
            Truth::Breaks
        }
    }
}

/// An edit: the types before with events that they wrote, and after. The event is called `E`.
macro_rules! edit {
    ($name:literal, { $($old:item)+ } [$($old_value:expr),+ $(,)?], { $($new:item)+ } [$($new_value:expr),+ $(,)?] $(,)?) => {{
        mod old {
            use crate::types::prelude::*;
            $(#[derive(Serialize, Deserialize, JsonSchema)] $old)+
            pub(super) fn side() -> Side {
                Side::of(vec![$($old_value),+])
            }
        }
        mod new {
            use crate::types::prelude::*;
            $(#[derive(Serialize, Deserialize, JsonSchema)] $new)+
            pub(super) fn side() -> Side {
                Side::of(vec![$($new_value),+])
            }
        }
        Typed { name: $name, old: old::side(), new: new::side() }
    }};
}

mod containers;
mod enums;
mod fields;
mod tagged;
mod values;

mod prelude {
    pub(crate) use std::collections::{BTreeMap, BTreeSet, HashMap};

    pub(crate) use common::events::{Cents, TicketId, Title, UserId};
    pub(crate) use common::schemars::{self, JsonSchema};
    pub(crate) use common::testing::sample;
    pub(crate) use serde::{Deserialize, Serialize};

    pub(crate) use super::Side;
}

pub(crate) fn edits() -> Vec<Typed> {
    let topics = [
        fields::edits(),
        values::edits(),
        enums::edits(),
        tagged::edits(),
        containers::edits(),
    ];
    topics.into_iter().flatten().collect()
}
