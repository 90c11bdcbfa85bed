//! The process as the kernel reports it. Reading it takes descriptors and memory, which may be
//! exhausted: what cannot be read is `None`.

use std::fs;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

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
        }
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
