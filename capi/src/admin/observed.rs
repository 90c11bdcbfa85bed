//! The bases of one process that are observed.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use crate::record::Record;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) process: u32,
    /// The name of the program, as ps(1) shows it.
    pub(super) program: String,
    pub(super) begin: Instant,
    pub(super) slow_limit_ns: u64,
    /// Where the pages are, and whether each process has a path of its own.
    pub(super) path: PathBuf,
    pub(super) path_has_pid: bool,
    /// The records of bases that were not freed, in the order of their numbers. A thread of the
    /// program holds the lock to add one, and the thread of the pages to copy the list.
    records: Mutex<Vec<Weak<Record>>>,
    last_number: AtomicU64,
}

impl Observed {
    pub(super) fn new(process: u32, program: String, slow_limit_ns: u64) -> Self {
        Self {
            process,
            program,
            begin: Instant::now(),
            slow_limit_ns,
            path: PathBuf::new(),
            path_has_pid: false,
            records: Mutex::default(),
            last_number: AtomicU64::new(0),
        }
    }

    /// Gives the base a number, and begins its record in this process.
    pub(super) fn add(&self, record: &Arc<Record>) {
        record.begin_process(self.process, self.last_number.fetch_add(1, Ordering::Relaxed) + 1);
        let mut records = self.records.lock();
        records.retain(|record| record.strong_count() > 0);
        records.push(Arc::downgrade(record));
    }

    pub(super) fn records(&self) -> Vec<Arc<Record>> {
        self.records.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

/// The name of the process.
pub(super) fn program_name() -> String {
    let name = fs::read("/proc/self/comm").unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}
