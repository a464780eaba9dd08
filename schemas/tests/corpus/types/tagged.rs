//! Enums with a tag, or without any.

use super::Typed;

pub(super) fn edits() -> Vec<Typed> {
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
