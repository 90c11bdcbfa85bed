//! The statuses that replies may have.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The status codes of final replies (RFC 9110, section 15).
const FINAL: RangeInclusive<u16> = 200..=599;

/// The expected statuses. A reply with another one is a failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpectedStatuses {
    /// The text as given.
    text: String,
    ranges: Vec<RangeInclusive<u16>>,
}

impl ExpectedStatuses {
    /// Whether a reply may have this status.
    pub(super) fn contains(&self, status: u16) -> bool {
        self.ranges.iter().any(|range| range.contains(&status))
    }
}

impl Default for ExpectedStatuses {
    fn default() -> Self {
        Self { text: "2xx,3xx".to_owned(), ranges: vec![200..=399] }
    }
}

impl FromStr for ExpectedStatuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ranges = text.split(',').map(|word| range(word.trim())).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), ranges })
    }
}

impl fmt::Display for ExpectedStatuses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.text)
    }
}

/// The codes that a class ("2xx"), a code ("404") or a range ("200-204") stands for.
fn range(word: &str) -> Result<RangeInclusive<u16>, String> {
    let code = |text: &str| text.parse::<u16>().ok();
    let bounds = match word.to_ascii_lowercase().strip_suffix("xx") {
        Some(class) => code(class).filter(|&class| class < 10).map(|class| {
            let first = class * 100;
            (first, first + 99)
        }),
        None => match word.split_once('-') {
            Some((first, last)) => code(first).zip(code(last)),
            None => code(word).map(|code| (code, code)),
        },
    };
    match bounds {
        Some((first, last)) if first <= last && FINAL.contains(&first) && FINAL.contains(&last) => {
            Ok(first..=last)
        }
        _ => Err(format!(
            "'{word}' is no status; write a class (2xx), a code (404) or a range (200-204), from \
             200 to 599"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_codes_and_ranges_name_statuses() {
        let expected: ExpectedStatuses = "2xx, 404,500-503".parse().unwrap();
        for status in [200, 299, 404, 500, 503] {
            assert!(expected.contains(status), "{status}");
        }
        for status in [199, 300, 403, 405, 499, 504] {
            assert!(!expected.contains(status), "{status}");
        }
        assert_eq!(expected.to_string(), "2xx, 404,500-503");
        assert!("2XX".parse::<ExpectedStatuses>().unwrap().contains(204));
    }

    #[test]
    fn success_and_redirection_are_expected_by_default() {
        let expected = ExpectedStatuses::default();
        assert_eq!(expected, ExpectedStatuses { ranges: vec![200..=399], ..expected.clone() });
        assert!(!expected.contains(199) && !expected.contains(400));
    }

    #[test]
    fn what_is_no_final_status_is_refused() {
        for wrong in ["", "2xx,", "1xx", "6xx", "99", "600", "404-200", "2x", "abc", "2xx-3xx"] {
            let text = wrong.parse::<ExpectedStatuses>().unwrap_err();
            assert!(text.contains("is no status"), "{wrong}: {text}");
        }
    }
}
