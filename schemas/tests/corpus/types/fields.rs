//! Fields that come, go, move and change their names.

use super::Typed;

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn edits() -> Vec<Typed> {
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
