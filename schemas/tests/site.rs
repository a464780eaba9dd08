//! The catalogue, as text; a browser judges it in the integration tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::testing::sample;
use common::{
    Event, Key, ORDERS, ORDERS_SERVICE, Past, QueueGroup, SubjectSet as _, Subjects,
    TICKETS_SERVICE, schemars, subjects,
};
use schemas::{PAGE, documents, site};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[test]
fn every_event_has_its_section_and_what_it_links_to_is_in_the_folder() {
    let schemas = documents(|subject: Subjects| Some(sample::example(subject))).unwrap();
    let folder = site::<Subjects>(&schemas);
    let page = &folder[PAGE];
    for subject in Subjects::ALL {
        let anchor = subject.as_str().replace(':', ".");
        assert!(page.contains(&format!("id=\"{anchor}\"")), "{anchor}");
        let file = format!("json/{anchor}.v1.json");
        assert!(page.contains(&format!("href=\"{file}\"")), "{file}");
        assert!(folder.contains_key(&file), "{file}");
    }
    for expected in [
        "kept for 30 days",
        "At most 10 attempts, 200 ms, 400 ms",
        "dead-letter.orders-service.ticket:created.{key}",
        "<code>ticket.price</code>",
        "<li><code>awaiting:payment</code> The ticket is reserved for this order.</li>",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(!page.contains("://"), "nothing comes from a network");
}

subjects! {
    /// A list with an event that has a past, and a hostile description.
    enum Moves {
        /// Something moved.
        Moved: "thing:moved", stream ORDERS, from ORDERS_SERVICE, to [TICKETS_SERVICE, LONG];
    }
}

const LONG: QueueGroup = QueueGroup::new("a-service-of-a-long-name");

/// Something </section><script>alert("moved")</script> & went.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct Moved {
    /// In `<metres>`.
    metres: u32,
}

/// Something moved, in feet.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(example = MovedInFeet { feet: 9 })]
struct MovedInFeet {
    feet: u32,
}

impl From<MovedInFeet> for Moved {
    fn from(past: MovedInFeet) -> Self {
        Self {
            metres: past.feet / 3,
        }
    }
}

impl Event for Moved {
    const SUBJECT: Moves = Moves::Moved;
    const PAST: &'static [Past<Self>] = &[Past::of::<MovedInFeet>()];

    fn key(&self) -> Key {
        Key::new("k").unwrap()
    }
}

fn moves() -> String {
    let schemas = documents(|_: Moves| Some(json!({ "metres": 3, "</code>": "<b>" }))).unwrap();
    site::<Moves>(&schemas)[PAGE].clone()
}

#[test]
fn text_of_a_type_or_an_example_cannot_become_markup() {
    let page = moves();
    assert!(
        page.contains("Something &lt;/section&gt;&lt;script&gt;alert(&quot;moved&quot;)"),
        "{page}"
    );
    assert!(page.contains("In <code>&lt;metres&gt;</code>."), "{page}");
    assert!(
        page.contains("&quot;&lt;/code&gt;&quot;: &quot;&lt;b&gt;&quot;"),
        "{page}"
    );
    assert_eq!(page.matches("<script>").count(), 1, "our own");
}

#[test]
fn earlier_form_is_shown_with_its_fields_and_its_example() {
    let page = moves();
    assert!(
        page.contains("2 of 2: <a href=\"json/thing.moved.v2.json\">"),
        "{page}"
    );
    let (_, earlier) = page
        .split_once("<summary>Earlier form 1</summary>")
        .unwrap();
    assert!(earlier.contains("<code>feet</code>"), "{earlier}");
    assert!(earlier.contains("&quot;feet&quot;: 9"), "{earlier}");
}

#[test]
fn long_name_stays_in_its_box() {
    let page = moves();
    let (_, picture) = page.split_once("<svg").unwrap();
    let (picture, _) = picture.split_once("</svg>").unwrap();
    assert!(
        picture.contains(" lengthAdjust=\"spacingAndGlyphs\">a-service-of-a-long-name</text>"),
        "{picture}"
    );
    assert!(picture.contains("\">thing:moved</text>"), "{picture}");
    assert_eq!(picture.matches("lengthAdjust").count(), 1);
}
