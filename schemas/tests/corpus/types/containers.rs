//! Lists, sets, maps, and types that hold themselves.

use super::Typed;

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn edits() -> Vec<Typed> {
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
