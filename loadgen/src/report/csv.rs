//! The intervals of all runs as CSV, a row each.

use std::fmt::Write as _;

use crate::record::{IntervalRecord, Record, RunRecord};

/// The columns; `t` in seconds from the start of the measured window, `ok` and `err` in requests,
/// `verdict` that of the run.
const HEADER: &str = "run,t,length_s,scheduled,sent,ok,err,outstanding,backlog,p50_us,p99_us,\
                      max_us,loader_cpu,server_cpu,verdict\n";

/// The content of the file. An unknown value is an empty cell.
pub(super) fn text(record: &Record) -> String {
    let mut text = HEADER.to_owned();
    for run in &record.runs {
        run.intervals.iter().for_each(|interval| row(&mut text, run, interval));
    }
    text
}

fn row(text: &mut String, run: &RunRecord, interval: &IntervalRecord) {
    let (verdict, run) = (run.validity.verdict, run.number);
    let IntervalRecord { start_s, length_s, scheduled, sent, completed, failed, .. } = interval;
    let IntervalRecord { outstanding, backlog, loader_cpu, server_cpu, .. } = interval;
    let [p50, p99, max] = [interval.p50_ns, interval.p99_ns, interval.max_ns].map(us);
    let server_cpu = server_cpu.map_or_else(String::new, |cpu| format!("{cpu:.3}"));
    let _ = writeln!(
        text,
        "{run},{start_s:.3},{length_s:.3},{scheduled},{sent},{completed},{failed},{outstanding},\
         {backlog},{p50},{p99},{max},{loader_cpu:.3},{server_cpu},{verdict}"
    );
}

fn us(ns: Option<u64>) -> String {
    ns.map_or_else(String::new, |ns| format!("{:.3}", ns as f64 / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::extremes;

    #[test]
    fn a_file_is_written_to_the_letter() {
        let record = extremes::full();
        let expected = "\
            run,t,length_s,scheduled,sent,ok,err,outstanding,backlog,p50_us,p99_us,max_us,\
            loader_cpu,server_cpu,verdict\n\
            1,-1.000,1.000,1000,1000,999,0,1,0,,,,0.250,0.500,SUSPECT\n\
            1,0.000,1.000,1002,1001,990,2,9,1,51.200,180.250,912.345,0.310,,SUSPECT\n";
        assert_eq!(text(&record), expected);
    }

    #[test]
    fn a_record_without_runs_gives_the_header_alone() {
        assert_eq!(text(&extremes::minimal()), HEADER);
    }
}
