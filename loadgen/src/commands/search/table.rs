//! The probes of a search as CSV, a row each, in the order in which they were made.

use super::record::{ProbeRecord, SearchRecord};
use crate::commands::csv::{known, quoted};
use crate::commands::verdicts::first_reason;

const HEADER: &str = "stage,rate_per_s,achieved_per_s,duration_s,measured,p50_ns,p99_ns,p999_ns,\
                      max_ns,server_cpu_us_per_request,decision,verdict,reason,had_errors\n";

/// The content of the file. What is not known is empty.
pub(super) fn text(record: &SearchRecord) -> String {
    record.probes.iter().fold(HEADER.to_owned(), |table, probe| table + &row(probe))
}

fn row(probe: &ProbeRecord) -> String {
    let latency = &probe.latency_ns;
    let cells = [
        probe.stage.to_string(),
        known(probe.rate_per_s),
        probe.achieved_per_s.to_string(),
        probe.duration_s.to_string(),
        probe.measured.to_string(),
        known(latency.p50),
        known(latency.p99),
        known(latency.p999),
        known(latency.max),
        known(probe.server_cpu_us_per_request),
        known(probe.decision),
        probe.validity.verdict.to_string(),
        first_reason(&probe.validity).as_deref().map(quoted).unwrap_or_default(),
        probe.had_errors.to_string(),
    ];
    cells.join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::search_plan::tests::plan;
    use super::*;
    use crate::record::tests::extremes;

    #[test]
    fn every_row_has_the_verdict_and_its_first_reason() {
        let mut record = SearchRecord::new(&plan("--slo p99<1ms").unwrap());
        record.probes.push(ProbeRecord::peak(&extremes::full()));
        let text = text(&record);
        let (header, row) = text.split_once('\n').unwrap();
        assert_eq!(header.matches(',').count(), row.matches(',').count());
        assert!(row.starts_with("peak,,990.25,"), "{row}");
        assert!(row.contains(",SUSPECT,\"loader-late: late <by> 1 ms & more\","), "{row}");
    }
}
