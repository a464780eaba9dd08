//! Enums as serde writes them by itself.

use super::Typed;

pub(super) fn edits() -> Vec<Typed> {
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
