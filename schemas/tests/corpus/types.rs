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
            use super::prelude::*;
            $(#[derive(Serialize, Deserialize, JsonSchema)] $old)+
            pub(super) fn side() -> Side {
                Side::of(vec![$($old_value),+])
            }
        }
        mod new {
            use super::prelude::*;
            $(#[derive(Serialize, Deserialize, JsonSchema)] $new)+
            pub(super) fn side() -> Side {
                Side::of(vec![$($new_value),+])
            }
        }
        Typed { name: $name, old: old::side(), new: new::side() }
    }};
}

mod prelude {
    pub(super) use std::collections::{BTreeMap, BTreeSet, HashMap};

    pub(super) use common::events::{Cents, TicketId, Title, UserId};
    pub(super) use common::schemars::{self, JsonSchema};
    pub(super) use common::testing::sample;
    pub(super) use serde::{Deserialize, Serialize};

    pub(super) use super::Side;
}

pub(crate) fn edits() -> Vec<Typed> {
    [fields(), values(), enums(), tagged(), containers()]
        .into_iter()
        .flatten()
        .collect()
}

fn fields() -> Vec<Typed> {
    vec![
        edit!("Option added",
            { struct E { a: u8 } } [E { a: 1 }],
            { struct E { a: u8, b: Option<u8> } } [E { a: 1, b: None }, E { a: 1, b: Some(2) }]),
        edit!(
            "field added",
            {
                struct E {
                    a: u8,
                }
            }[E { a: 1 }],
            {
                struct E {
                    a: u8,
                    b: u8,
                }
            }[E { a: 1, b: 2 }]
        ),
        edit!(
            "field with default added",
            {
                struct E {
                    a: u8,
                }
            }[E { a: 1 }],
            {
                struct E {
                    a: u8,
                    #[serde(default)]
                    b: u8,
                }
            }[E { a: 1, b: 2 }]
        ),
        edit!(
            "default on the whole type",
            {
                struct E {
                    a: u8,
                }
            }[E { a: 1 }],
            {
                #[derive(Default)]
                #[serde(default)]
                struct E {
                    a: u8,
                    b: u8,
                }
            }[E { a: 1, b: 2 }]
        ),
        edit!(
            "default of the whole type taken away",
            {
                #[derive(Default)]
                #[serde(default)]
                struct E {
                    a: u8,
                }
            }[E { a: 1 }],
            {
                struct E {
                    a: u8,
                }
            }[E { a: 1 }]
        ),
        edit!(
            "field renamed",
            {
                struct E {
                    price: u8,
                }
            }[E { price: 1 }],
            {
                struct E {
                    cost: u8,
                }
            }[E { cost: 1 }]
        ),
        edit!(
            "field renamed in Rust only",
            {
                struct E {
                    price: u8,
                }
            }[E { price: 1 }],
            {
                struct E {
                    #[serde(rename = "price")]
                    cost: u8,
                }
            }[E { cost: 1 }]
        ),
        edit!(
            "names in camelCase",
            {
                struct E {
                    user_id: u8,
                }
            }[E { user_id: 1 }],
            {
                #[serde(rename_all = "camelCase")]
                struct E {
                    user_id: u8,
                }
            }[E { user_id: 1 }]
        ),
        edit!("Option removed",
            { struct E { a: u8, b: Option<u8> } } [E { a: 1, b: Some(2) }, E { a: 1, b: None }],
            { struct E { a: u8 } } [E { a: 1 }]),
        edit!(
            "field removed",
            {
                struct E {
                    a: u8,
                    b: u8,
                }
            }[E { a: 1, b: 2 }],
            {
                struct E {
                    a: u8,
                }
            }[E { a: 1 }]
        ),
        edit!("field becomes an Option",
            { struct E { a: u8 } } [E { a: 1 }],
            { struct E { a: Option<u8> } } [E { a: None }, E { a: Some(1) }]),
        edit!("field becomes an Option that is left out",
            { struct E { a: u8 } } [E { a: 1 }],
            { struct E { #[serde(skip_serializing_if = "Option::is_none")] a: Option<u8> } } [E { a: None }, E { a: Some(1) }]),
        edit!("null is left out from now on",
            { struct E { a: Option<u8> } } [E { a: None }, E { a: Some(1) }],
            { struct E { #[serde(skip_serializing_if = "Option::is_none")] a: Option<u8> } } [E { a: None }, E { a: Some(1) }]),
        edit!("Option becomes a field",
            { struct E { a: Option<u8> } } [E { a: None }, E { a: Some(1) }],
            { struct E { a: u8 } } [E { a: 1 }]),
        edit!("Option becomes a field with default, and null was written",
            { struct E { a: Option<u8> } } [E { a: None }, E { a: Some(1) }],
            { struct E { #[serde(default)] a: u8 } } [E { a: 1 }]),
        edit!("Option that is left out becomes a field with default",
            { struct E { #[serde(skip_serializing_if = "Option::is_none")] #[schemars(with = "u8")] #[serde(default)] a: Option<u8> } } [E { a: None }, E { a: Some(1) }],
            { struct E { #[serde(default)] a: u8 } } [E { a: 1 }]),
        edit!("unknown fields refused, field added",
            { #[serde(deny_unknown_fields)] struct E { a: u8 } } [E { a: 1 }],
            { #[serde(deny_unknown_fields)] struct E { a: u8, b: Option<u8> } } [E { a: 1, b: None }, E { a: 1, b: Some(1) }]),
        edit!(
            "unknown fields refused from now on",
            {
                struct E {
                    a: u8,
                }
            }[E { a: 1 }],
            {
                #[serde(deny_unknown_fields)]
                struct E {
                    a: u8,
                }
            }[E { a: 1 }]
        ),
        edit!(
            "fields flattened",
            {
                struct E {
                    a: u8,
                    b: u8,
                }
            }[E { a: 1, b: 2 }],
            {
                struct E {
                    a: u8,
                    #[serde(flatten)]
                    rest: Rest,
                }
                struct Rest {
                    b: u8,
                }
            }[E {
                a: 1,
                rest: Rest { b: 2 }
            }]
        ),
        edit!(
            "fields moved into a struct",
            {
                struct E {
                    a: u8,
                    b: u8,
                }
            }[E { a: 1, b: 2 }],
            {
                struct E {
                    a: u8,
                    rest: Rest,
                }
                struct Rest {
                    b: u8,
                }
            }[E {
                a: 1,
                rest: Rest { b: 2 }
            }]
        ),
        edit!(
            "field that is never read",
            {
                struct E {
                    a: u8,
                    #[serde(skip_deserializing)]
                    b: u8,
                }
            }[E { a: 1, b: 2 }],
            {
                struct E {
                    a: u8,
                }
            }[E { a: 1 }]
        ),
        edit!(
            "inner struct gets a field with default",
            {
                struct E {
                    a: I,
                }
                struct I {
                    x: u8,
                }
            }[E { a: I { x: 1 } }],
            {
                struct E {
                    a: I,
                }
                struct I {
                    x: u8,
                    #[serde(default)]
                    y: u8,
                }
            }[E {
                a: I { x: 1, y: 2 }
            }]
        ),
        edit!("inner struct gets a field",
            { struct E { a: Option<I> } struct I { x: u8 } } [E { a: None }, E { a: Some(I { x: 1 }) }],
            { struct E { a: Option<I> } struct I { x: u8, y: u8 } } [E { a: None }, E { a: Some(I { x: 1, y: 2 }) }]),
        edit!(
            "field without use added",
            {
                struct E {}
            }[E {}],
            {
                struct E {
                    a: (),
                }
            }[E { a: () }]
        ),
    ]
}

fn values() -> Vec<Typed> {
    vec![
        edit!(
            "u32 becomes u64",
            {
                struct E {
                    a: u32,
                }
            }[E { a: u32::MAX }],
            {
                struct E {
                    a: u64,
                }
            }[E { a: u64::MAX }]
        ),
        edit!(
            "u64 becomes i64",
            {
                struct E {
                    a: u64,
                }
            }[E { a: u64::MAX }],
            {
                struct E {
                    a: i64,
                }
            }[E { a: -1 }]
        ),
        edit!(
            "u8 becomes i128",
            {
                struct E {
                    a: u8,
                }
            }[E { a: u8::MAX }],
            {
                struct E {
                    a: i128,
                }
            }[E {
                a: i128::from(i64::MIN)
            }]
        ),
        edit!("integer becomes a float",
            { struct E { a: i32 } } [E { a: i32::MIN }, E { a: i32::MAX }],
            { struct E { a: f64 } } [E { a: 0.5 }]),
        edit!(
            "f32 becomes f64",
            {
                struct E {
                    a: f32,
                }
            }[E { a: f32::MAX }],
            {
                struct E {
                    a: f64,
                }
            }[E { a: 0.1 }]
        ),
        edit!(
            "number becomes text",
            {
                struct E {
                    a: u8,
                }
            }[E { a: 1 }],
            {
                struct E {
                    a: String,
                }
            }[E { a: "1".to_owned() }]
        ),
        edit!(
            "newtype around the same",
            {
                struct E {
                    a: u8,
                }
            }[E { a: 1 }],
            {
                struct E {
                    a: N,
                }
                struct N(u8);
            }[E { a: N(1) }]
        ),
        edit!(
            "never zero",
            {
                struct E {
                    a: u64,
                }
            }[E { a: 0 }],
            {
                struct E {
                    a: std::num::NonZeroU64,
                }
            }[E {
                a: 1.try_into().unwrap()
            }]
        ),
        edit!(
            "letter becomes text",
            {
                struct E {
                    a: char,
                }
            }[E { a: '\u{1f600}' }],
            {
                struct E {
                    a: String,
                }
            }[E { a: String::new() }]
        ),
        edit!(
            "text becomes an id",
            {
                struct E {
                    a: String,
                }
            }[E { a: "x".to_owned() }],
            {
                struct E {
                    a: TicketId,
                }
            }[E { a: TicketId::new() }]
        ),
        edit!(
            "text becomes a user",
            {
                struct E {
                    a: String,
                }
            }[E {
                a: "with space".to_owned()
            }],
            {
                struct E {
                    a: UserId,
                }
            }[E {
                a: sample::user("alice")
            }]
        ),
        edit!(
            "user becomes a title",
            {
                struct E {
                    a: UserId,
                }
            }[E {
                a: sample::user("alice")
            }],
            {
                struct E {
                    a: Title,
                }
            }[E {
                a: sample::title("Row 12, \u{e9}")
            }]
        ),
        edit!(
            "number becomes an amount",
            {
                struct E {
                    a: u64,
                }
            }[E { a: 0 }],
            {
                struct E {
                    a: Cents,
                }
            }[E {
                a: sample::cents(1)
            }]
        ),
        edit!(
            "anything",
            {
                struct E {
                    a: u8,
                }
            }[E { a: 1 }],
            {
                struct E {
                    a: serde_json::Value,
                }
            }[E {
                a: serde_json::json!([null])
            }]
        ),
        edit!(
            "boxed and borrowed",
            {
                struct E {
                    a: String,
                    b: Vec<u8>,
                }
            }[E {
                a: "x".to_owned(),
                b: vec![255]
            }],
            {
                struct E {
                    a: Box<str>,
                    b: Box<[u8]>,
                }
            }[E {
                a: "x".into(),
                b: [255].into()
            }]
        ),
    ]
}

fn enums() -> Vec<Typed> {
    vec![
        edit!("variant added",
            { struct E { a: S } enum S { A, B } } [E { a: S::A }, E { a: S::B }],
            { struct E { a: S } enum S { A, B, C } } [E { a: S::A }, E { a: S::B }, E { a: S::C }]),
        edit!("variant added where there is a catch-all",
            { struct E { a: S } #[schemars(extend("x-open" = true))] enum S { A, #[serde(other)] Unknown } } [E { a: S::A }, E { a: S::Unknown }],
            { struct E { a: S } #[schemars(extend("x-open" = true))] enum S { A, B, #[serde(other)] Unknown } } [E { a: S::A }, E { a: S::B }, E { a: S::Unknown }]),
        edit!("described variants with a catch-all",
            { struct E { a: S }
              #[schemars(extend("x-open" = true))] enum S {
                  /// One.
                  A,
                  /// Anything else.
                  #[serde(other)] Unknown,
              } } [E { a: S::A }, E { a: S::Unknown }],
            { struct E { a: S } enum S { A, B } } [E { a: S::A }, E { a: S::B }]),
        edit!(
            "variant renamed",
            {
                struct E {
                    a: S,
                }
                enum S {
                    A,
                }
            }[E { a: S::A }],
            {
                struct E {
                    a: S,
                }
                #[serde(rename_all = "lowercase")]
                enum S {
                    A,
                }
            }[E { a: S::A }]
        ),
        edit!(
            "enum becomes text",
            {
                struct E {
                    a: S,
                }
                enum S {
                    A,
                }
            }[E { a: S::A }],
            {
                struct E {
                    a: String,
                }
            }[E { a: "b".to_owned() }]
        ),
        edit!("variant of an optional enum removed",
            { struct E { a: Option<S> } enum S { A, B } } [E { a: None }, E { a: Some(S::A) }, E { a: Some(S::B) }],
            { struct E { a: Option<S> } enum S { A } } [E { a: None }, E { a: Some(S::A) }]),
        edit!("variant with content added",
            { struct E { a: S } enum S { U, N(u8) } } [E { a: S::U }, E { a: S::N(1) }],
            { struct E { a: S } enum S { U, N(u8), T { x: u8 } } } [E { a: S::U }, E { a: S::N(1) }, E { a: S::T { x: 1 } }]),
        edit!(
            "content of a variant gets an Option",
            {
                struct E {
                    a: S,
                }
                enum S {
                    T { x: u8 },
                }
            }[E { a: S::T { x: 1 } }],
            {
                struct E {
                    a: S,
                }
                enum S {
                    T { x: u8, y: Option<u8> },
                }
            }[E {
                a: S::T { x: 1, y: None }
            }]
        ),
        edit!(
            "unit variant gets content",
            {
                struct E {
                    a: S,
                }
                enum S {
                    U,
                }
            }[E { a: S::U }],
            {
                struct E {
                    a: S,
                }
                enum S {
                    U { x: u8 },
                }
            }[E { a: S::U { x: 1 } }]
        ),
    ]
}

fn tagged() -> Vec<Typed> {
    vec![
        edit!("tagged variant added",
            { #[serde(tag = "kind")] enum E { A { x: u8 } } } [E::A { x: 1 }],
            { #[serde(tag = "kind")] enum E { A { x: u8 }, B } } [E::A { x: 1 }, E::B]),
        edit!("tagged variant added where there is a catch-all",
            { #[serde(tag = "kind")] #[schemars(extend("x-open" = true))] enum E { A { x: u8 }, #[serde(other)] Unknown } } [E::A { x: 1 }, E::Unknown],
            { #[serde(tag = "kind")] #[schemars(extend("x-open" = true))] enum E { A { x: u8 }, B { y: u8 }, #[serde(other)] Unknown } } [E::A { x: 1 }, E::B { y: 1 }, E::Unknown]),
        edit!(
            "tagged variant around a struct",
            {
                #[serde(tag = "kind")]
                enum E {
                    A(I),
                }
                struct I {
                    x: u8,
                }
            }[E::A(I { x: 1 })],
            {
                #[serde(tag = "kind")]
                enum E {
                    A { x: u8 },
                }
            }[E::A { x: 1 }]
        ),
        edit!("struct of a tagged variant gets a field",
            { #[serde(tag = "kind")] enum E { A(I), B } struct I { x: u8 } } [E::A(I { x: 1 }), E::B],
            { #[serde(tag = "kind")] enum E { A(I), B } struct I { x: u8, y: u8 } } [E::A(I { x: 1, y: 1 }), E::B]),
        edit!(
            "tag renamed",
            {
                #[serde(tag = "kind")]
                enum E {
                    A { x: u8 },
                }
            }[E::A { x: 1 }],
            {
                #[serde(tag = "type")]
                enum E {
                    A { x: u8 },
                }
            }[E::A { x: 1 }]
        ),
        edit!("content beside the tag widened",
            { #[serde(tag = "t", content = "c")] enum E { A(u8), B } } [E::A(255), E::B],
            { #[serde(tag = "t", content = "c")] enum E { A(u16), B } } [E::A(256), E::B]),
        edit!("variant without a tag added",
            { #[serde(untagged)] enum E { A { x: u8 } } } [E::A { x: 1 }],
            { #[serde(untagged)] enum E { A { x: u8 }, B { y: String } } } [E::A { x: 1 }, E::B { y: "b".to_owned() }]),
        edit!("variant without a tag around the other",
            { #[serde(untagged)] enum E { A { x: u8, y: u8 }, B { x: u8 } } } [E::A { x: 1, y: 1 }, E::B { x: 1 }],
            { struct E { x: u8 } } [E { x: 1 }]),
        edit!("flattened tagged enum gets a variant",
            { struct E { id: u8, #[serde(flatten)] k: K } #[serde(tag = "kind")] enum K { A { x: u8 } } } [E { id: 1, k: K::A { x: 1 } }],
            { struct E { id: u8, #[serde(flatten)] k: K } #[serde(tag = "kind")] enum K { A { x: u8 }, B } } [E { id: 1, k: K::A { x: 1 } }, E { id: 1, k: K::B }]),
    ]
}

fn containers() -> Vec<Typed> {
    vec![
        edit!(
            "list becomes a set",
            {
                struct E {
                    a: Vec<u8>,
                }
            }[E { a: vec![1, 1] }],
            {
                struct E {
                    a: BTreeSet<u8>,
                }
            }[E { a: [1, 2].into() }]
        ),
        edit!("list becomes an array",
            { struct E { a: Vec<u8> } } [E { a: vec![] }, E { a: vec![1; 4] }],
            { struct E { a: [u8; 3] } } [E { a: [1, 2, 3] }]),
        edit!(
            "items get a field",
            {
                struct E {
                    a: Vec<I>,
                }
                struct I {
                    x: u8,
                }
            }[E {
                a: vec![I { x: 1 }]
            }],
            {
                struct E {
                    a: Vec<I>,
                }
                struct I {
                    x: u8,
                    y: u8,
                }
            }[E {
                a: vec![I { x: 1, y: 1 }]
            }]
        ),
        edit!(
            "items get an Option",
            {
                struct E {
                    a: Vec<I>,
                }
                struct I {
                    x: u8,
                }
            }[E {
                a: vec![I { x: 1 }]
            }],
            {
                struct E {
                    a: Vec<I>,
                }
                struct I {
                    x: u8,
                    y: Option<u8>,
                }
            }[E {
                a: vec![I { x: 1, y: None }]
            }]
        ),
        edit!(
            "values of a map widened",
            {
                struct E {
                    a: BTreeMap<String, u8>,
                }
            }[E {
                a: [("k".to_owned(), 255)].into()
            }],
            {
                struct E {
                    a: HashMap<String, u16>,
                }
            }[E {
                a: [("k".to_owned(), 256)].into()
            }]
        ),
        edit!(
            "map of numbers gets other values",
            {
                struct E {
                    a: BTreeMap<u32, bool>,
                }
            }[E {
                a: [(7, true)].into()
            }],
            {
                struct E {
                    a: BTreeMap<u32, Option<bool>>,
                }
            }[E {
                a: [(7, None)].into()
            }]
        ),
        edit!(
            "struct becomes a map",
            {
                struct E {
                    a: I,
                }
                struct I {
                    x: u8,
                }
            }[E { a: I { x: 1 } }],
            {
                struct E {
                    a: BTreeMap<String, u8>,
                }
            }[E { a: BTreeMap::new() }]
        ),
        edit!(
            "unknown fields kept in a map",
            {
                struct E {
                    a: u8,
                }
            }[E { a: 1 }],
            {
                struct E {
                    a: u8,
                    #[serde(flatten)]
                    rest: BTreeMap<String, serde_json::Value>,
                }
            }[E {
                a: 1,
                rest: [("z".to_owned(), true.into())].into()
            }]
        ),
        edit!(
            "type that holds itself gets a field",
            {
                struct E {
                    v: u8,
                    next: Option<Box<E>>,
                }
            }[E {
                v: 1,
                next: Some(Box::new(E { v: 2, next: None }))
            }],
            {
                struct E {
                    v: u8,
                    w: u8,
                    next: Option<Box<E>>,
                }
            }[E {
                v: 1,
                w: 1,
                next: None
            }]
        ),
        edit!(
            "type that holds itself gets an Option",
            {
                struct E {
                    v: u8,
                    next: Option<Box<E>>,
                }
            }[E {
                v: 1,
                next: Some(Box::new(E { v: 2, next: None }))
            }],
            {
                struct E {
                    v: u8,
                    w: Option<u8>,
                    next: Option<Box<E>>,
                }
            }[E {
                v: 1,
                w: None,
                next: Some(Box::new(E {
                    v: 2,
                    w: Some(1),
                    next: None
                }))
            }]
        ),
        edit!("list may be missing",
            { struct E { a: Vec<u8> } } [E { a: vec![] }],
            { struct E { #[serde(default, skip_serializing_if = "Vec::is_empty")] a: Vec<u8> } } [E { a: vec![] }, E { a: vec![1] }]),
    ]
}
