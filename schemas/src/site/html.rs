//! Text as HTML.

use std::fmt::Write as _;

/// Text that is nothing but text, in an element or an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A doc comment, paragraph by paragraph.
pub(super) fn prose(text: &str) -> String {
    let mut html = String::new();
    for paragraph in text.split("\n\n").filter(|text| !text.trim().is_empty()) {
        let _ = writeln!(html, "<p>{}</p>", inline(paragraph));
    }
    html
}

/// A sentence, in which what stands between backticks is code.
pub(super) fn inline(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut html = String::new();
    let mut pieces = text.split('`').enumerate().peekable();
    while let Some((at, piece)) = pieces.next() {
        let piece = escape(piece);
        match (at % 2, pieces.peek()) {
            (0, _) => html.push_str(&piece),
            // A backtick that nothing closes is one.
            (_, None) => {
                html.push('`');
                html.push_str(&piece);
            }
            _ => drop(write!(html, "<code>{piece}</code>")),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escape("<a href='\"&\"'>"),
            "&lt;a href=&#39;&quot;&amp;&quot;&#39;&gt;"
        );
        assert_eq!(inline("a `<b>` c"), "a <code>&lt;b&gt;</code> c");
    }

    #[test]
    fn code_is_what_stands_between_two_backticks() {
        assert_eq!(inline("`a`, `b`"), "<code>a</code>, <code>b</code>");
        assert_eq!(inline("it `is\nopen"), "it `is open");
        assert_eq!(prose("a\nb\n\nc"), "<p>a b</p>\n<p>c</p>\n");
    }
}
