//! What an import could not use: how much, why, and where the first of each kind is.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    by_reason: BTreeMap<&'static str, (u64, String)>,
}

impl LeftOut {
    /// Something at this place is left out.
    pub(super) fn add(&mut self, reason: &'static str, place: impl FnOnce() -> String) {
        self.by_reason.entry(reason).or_insert_with(|| (0, place())).0 += 1;
    }

    /// Whether nothing was left out.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_reason.is_empty()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (reason, (count, place))) in self.by_reason.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(formatter, "{separator}{reason}: {count} (the first: {place})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_count_and_its_first_place() {
        let mut left_out = LeftOut::default();
        assert!(left_out.is_empty());
        for line in [3, 5] {
            left_out.add("lines without a time", || format!("line {line}"));
        }
        left_out.add("bodies", || "line 9".to_owned());
        let said = "bodies: 1 (the first: line 9); lines without a time: 2 (the first: line 3)";
        assert_eq!(left_out.to_string(), said);
    }
}
