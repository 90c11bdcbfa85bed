//! Escaped text, for HTML, SVG and XML.

/// The text with every character escaped that has a meaning in markup or is not allowed in XML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            '\t' | '\n' | '\r' => escaped.push(c),
            // XML cannot represent these.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Fails unless every element is closed in order and nothing else looks like markup.
    #[track_caller]
    pub(crate) fn expect_well_formed(text: &str) {
        if let Err(error) = roxmltree::Document::parse(text) {
            panic!("{error} in:\n{text}");
        }
    }

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(escape(r#"<a href='x'>"&amp;"#), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;amp;");
        assert_eq!(escape("a\u{0}b\u{1b}[1m µs"), "a\u{fffd}b\u{fffd}[1m µs");
    }
}
