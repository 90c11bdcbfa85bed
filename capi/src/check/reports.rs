//! What was found, until it can be logged.

use crate::abi::access::log::{self, ABORT};
use crate::symbols;

use super::CHECKS;

/// The lines that were not logged yet.
pub(super) struct Reports {
    lines: Vec<Report>,
    aborts: bool,
}

/// A line, and the functions that it names by `{}`, by address: names come from files, which are
/// read without a lock.
struct Report {
    text: String,
    function: Option<usize>,
}

impl Reports {
    pub(super) fn new(aborts: bool) -> Self {
        Self { lines: Vec::new(), aborts }
    }

    /// `text` about a callback: `{}` stands for its name.
    pub(super) fn add(&mut self, text: String, function: Option<usize>) {
        self.lines.push(Report { text, function });
    }
}

/// Logs what was found, and ends the program if it was to end so.
pub(super) fn log_all() {
    let (lines, aborts) = match CHECKS.lock().as_mut() {
        Some(checks) if !checks.reports.lines.is_empty() => {
            (std::mem::take(&mut checks.reports.lines), checks.reports.aborts)
        }
        _ => return,
    };
    for Report { text, function } in lines {
        let name = function.map(|address| symbols::name(address as u64)).unwrap_or_default();
        let line = format!("EVSHARD_CHECK: {}", text.replace("{}", &name));
        if aborts {
            log::fatal(ABORT, &line);
        }
        log::warn(&line);
    }
}
