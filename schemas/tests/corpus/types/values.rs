//! What a field holds.

use super::Typed;

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn edits() -> Vec<Typed> {
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
