//! Whether there are enough samples for the requested percentiles.

use super::super::evidence::Evidence;
use crate::latency::{PERCENTILES, Percentile};
use crate::record::{Code, Reason, Stated};
use crate::units::grouped;

/// A percentile of the report, or one that an objective is about, has too little support.
///
/// All runs of a plan count together; each is judged as if the others had as many samples.
pub(super) fn few(evidence: &Evidence<'_>) -> Option<Reason> {
    let count = evidence.headline().count;
    let expected = count * u64::from(evidence.args.runs.max(1));
    let unknown = |percentile: &Percentile| percentile.samples_min > expected;
    let objectives = evidence.args.slo.iter().filter_map(Stated::value);
    let asked = objectives.filter_map(|slo| slo.percentile());
    if let Some(percentile) = asked.filter(unknown).max_by_key(|asked| asked.samples_min) {
        let text = format!(
            "an objective asks for {}, which needs {} requests, and there are {}; measure longer",
            percentile.label,
            grouped(percentile.samples_min),
            grouped(expected)
        );
        return Some(Reason::suspect(Code::FewSamples, text));
    }
    let missing: Vec<&str> =
        PERCENTILES.iter().filter(|p| unknown(p)).map(|percentile| percentile.label).collect();
    (!missing.is_empty()).then(|| {
        let text = format!(
            "{} requests are too few for {}; measure longer to know more",
            grouped(expected),
            missing.join(", ")
        );
        Reason::label(Code::FewSamples, text)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{codes, findings, one};
    use crate::record::Verdict::{Suspect, Valid};
    use crate::record::tests::sample;
    use crate::record::{Code, Reason};

    fn when(count: u64, runs: u32, slo: &str) -> Vec<Reason> {
        findings(sample::open(), |record, run| {
            run.latency_ns.response.count = count;
            record.args.runs = runs;
            record.args.slo = vec![slo.to_owned().into()];
        })
    }

    #[test]
    fn an_objective_without_support_is_suspect() {
        assert_eq!(when(36_887, 1, "p99.99<1ms"), []);
        let found = when(36_886, 1, "p99.99<1ms");
        assert_eq!((&found[0].code, found[0].level), (&Code::FewSamples, Suspect));
        assert_eq!(when(18_444, 2, "p99.99<1ms"), [], "both runs count");
    }

    #[test]
    fn a_row_of_the_report_without_support_is_a_label() {
        let found = when(3_688, 1, "p99.9<1ms");
        assert_eq!((&found[0].code, found[0].level), (&Code::FewSamples, Valid));
        assert!(found[0].text.contains("too few for p99.99;"), "{}", found[0].text);
        let found = codes(sample::open(), |_, run| run.latency_ns.response.count = 36_886);
        assert_eq!(found, one(Code::FewSamples, Valid));
    }
}
