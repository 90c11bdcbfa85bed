//! The process as the kernel reports it, and the losses of its log. Reading it takes descriptors
//! and memory, which may be exhausted: what cannot be read is `None`.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// A process has one log (`log::set_logger`), so it also has one counter.
static LOG_DROPPED: AtomicU64 = AtomicU64::new(0);

/// The process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProcessStats {
    /// The process id.
    pub pid: u32,
    /// CPU time that all its threads used, in nanoseconds.
    pub cpu_ns: u64,
    /// Descriptors it has open.
    pub open_fds: Option<u64>,
    /// The limit of open descriptors; `None` also without a limit.
    pub max_fds: Option<u64>,
    /// Resident memory (`VmRSS`), in bytes.
    pub resident_bytes: Option<u64>,
    /// Log lines that the program's logger dropped, as it reported them with
    /// [`count_dropped_log_line`](Self::count_dropped_log_line).
    pub log_dropped: u64,
}

impl ProcessStats {
    /// Reads the values of this process.
    #[must_use]
    pub fn read() -> Self {
        let limit = rlimit::Resource::NOFILE.get_soft();
        Self {
            pid: std::process::id(),
            cpu_ns: cpu_ns(),
            open_fds: open_fds(),
            max_fds: limit.ok().filter(|&limit| limit != rlimit::INFINITY),
            resident_bytes: resident_bytes(),
            log_dropped: LOG_DROPPED.load(Ordering::Relaxed),
        }
    }

    /// Counts a log line that the program's logger could not write. The server logs by the crate
    /// `log`, and its threads wait for the logger, so a good logger drops lines instead of waiting.
    pub fn count_dropped_log_line() {
        LOG_DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanoseconds) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// Not counting the descriptor of this read.
fn open_fds() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    Some(open.saturating_sub(1))
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let found = ProcessStats::read();
        assert_eq!(found.pid, std::process::id());
        assert!(found.cpu_ns > 0);
        assert!(found.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{found:?}");
        assert!(found.open_fds >= Some(3) && found.open_fds <= found.max_fds, "{found:?}");
    }
}
