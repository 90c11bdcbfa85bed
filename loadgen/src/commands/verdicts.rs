//! The verdicts on several measurements, put together in a sentence.

use crate::record::{Validity, Verdict};
use crate::units::counted;

/// One of several measurements.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    /// What distinguishes it from the others, such as "size=64, round 2".
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// The first reason of the verdict; nothing for a VALID one.
    pub(super) reason: Option<String>,
}

/// The first reason of a verdict: its code and its text.
pub(super) fn first_reason(validity: &Validity) -> Option<String> {
    validity.reasons.first().map(|reason| format!("{}: {}", reason.code, reason.text))
}

/// The worst verdict, and a sentence: how many measurements are not VALID, and the first reason of
/// the first one among the worst. `noun` is what one measurement is called.
pub(super) fn summary(noun: &str, all: &[Judged]) -> (Verdict, String) {
    let count = |verdict| all.iter().filter(|one| one.verdict == verdict).count();
    let worst = all.iter().map(|one| one.verdict).max().unwrap_or(Verdict::Valid);
    let Some(first) = all.iter().find(|one| one.verdict == worst && worst > Verdict::Valid) else {
        return (worst, worst.to_string());
    };
    let others = match (worst, count(Verdict::Suspect)) {
        (Verdict::Invalid, suspect @ 1..) => format!(", {suspect} SUSPECT"),
        _ => String::new(),
    };
    let of_all = counted(all.len() as u64, noun);
    let reason = first.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let text =
        format!("{worst}: {} of {of_all}{others}. First: {}{reason}", count(worst), first.name);
    (worst, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(name: &str, verdict: Verdict) -> Judged {
        let reason = (verdict > Verdict::Valid).then(|| "loader-late: p99 1 ms".to_owned());
        Judged { name: name.to_owned(), verdict, reason }
    }

    #[test]
    fn valid_measurements_need_no_sentence() {
        let all = [judged("a", Verdict::Valid), judged("b", Verdict::Valid)];
        assert_eq!(summary("run", &all), (Verdict::Valid, "VALID".to_owned()));
        assert_eq!(summary("run", &[]).0, Verdict::Valid);
    }

    #[test]
    fn the_worst_measurement_is_named_with_its_reason() {
        let mut all = vec![judged("a", Verdict::Valid), judged("b", Verdict::Suspect)];
        let text = "SUSPECT: 1 of 2 runs. First: b: loader-late: p99 1 ms";
        assert_eq!(summary("run", &all), (Verdict::Suspect, text.to_owned()));
        all.push(judged("c", Verdict::Invalid));
        let text = "INVALID: 1 of 3 runs, 1 SUSPECT. First: c: loader-late: p99 1 ms";
        assert_eq!(summary("run", &all), (Verdict::Invalid, text.to_owned()));
    }
}
