//! The README shows code that compiles.

const README: &str = include_str!("../../README.md");
const EVENT: &str = include_str!("../examples/event.rs");

#[test]
fn event_of_the_readme_is_the_example() {
    let from = EVENT.find("const USERS").unwrap_or_default();
    let shown = EVENT[from..].trim_end();
    assert!(
        README.contains(shown),
        "copy common/examples/event.rs into README.md, from its first constant on"
    );
}
