//! The report on the terminal, made to be read from top to bottom.

use crate::latency::Latencies;
use crate::record::Record;

/// The whole report.
pub(super) fn render(_record: &Record, _latencies: &Latencies) -> String {
    String::new()
}
