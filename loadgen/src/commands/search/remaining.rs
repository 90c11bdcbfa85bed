//! How much of a search is left.

use std::time::Duration;

use crate::units::{about, counted};

/// What is left, as the end of a sentence. While the search looks for a rate, the number of probes
/// is unknown: it spends its time near the limit. Then it is the number of the confirmations and
/// their time, which is at most the time until `--max-time`.
pub(super) fn text(confirmations: Option<(u32, Duration)>, at_most: Duration) -> String {
    match confirmations {
        None => format!("at most {} left (--max-time)", about(at_most)),
        Some((0, _)) => "no probe left".to_owned(),
        Some((number, time)) => {
            format!("about {} left, {}", counted(number.into(), "probe"), about(time.min(at_most)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It promised six probes and a minute by the halvings of a range, which it does not halve.
    #[test]
    fn a_search_says_how_many_probes_are_left_only_while_it_confirms() {
        let at_most = Duration::from_secs(580);
        let left = |number, time_s| text(Some((number, Duration::from_secs(time_s))), at_most);
        assert_eq!(text(None, at_most), "at most 9m 40s left (--max-time)");
        assert_eq!(left(3, 183), "about 3 probes left, 3m 3s");
        assert_eq!(left(1, 900), "about 1 probe left, 9m 40s", "no longer than --max-time");
        assert_eq!(left(0, 0), "no probe left");
    }
}
