//! Reads kernel files that contain one value, without the line end.

use std::fs;
use std::str::FromStr;

/// The text of a file.
pub(super) fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned())
}

/// The text of a file as a value.
pub(super) fn value<T: FromStr>(path: &str) -> Option<T> {
    text(path)?.trim().parse().ok()
}

/// The choice in brackets: "always `[madvise]` never" is "madvise".
pub(super) fn chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_the_one_in_brackets() {
        assert_eq!(chosen("always `[madvise]` never"), Some("madvise"));
        assert_eq!(chosen("none"), None);
        assert_eq!(chosen("broken [none"), None);
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        assert_eq!(text("/proc/no-such-file"), None);
        assert_eq!(value::<u64>("/proc/version"), None);
    }
}
