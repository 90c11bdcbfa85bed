//! The cells of a CSV file, as RFC 4180 writes them.

/// A value, or an empty cell for one that is not known.
pub(super) fn known(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A text, in quotation marks if it would otherwise be more than one cell.
pub(super) fn quoted(text: &str) -> String {
    if text.contains(['"', ',', ' ', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_one_cell_whatever_is_in_it() {
        assert_eq!(quoted("serve --fast \"x\""), "\"serve --fast \"\"x\"\"\"");
        assert_eq!(quoted("late,busy"), "\"late,busy\"");
        assert_eq!(quoted("5k"), "5k");
    }
}
