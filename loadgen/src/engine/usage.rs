//! Processor time, waits for a processor, preemptions and major faults of the calling thread.

use std::fs;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Sums since the thread began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Processor time.
    pub(crate) cpu_ns: u64,
    /// Number of preemptions by the kernel.
    pub(crate) involuntary_switches: u64,
    /// Page faults that waited for a disk.
    pub(crate) major_faults: u64,
    /// Time that it was ready to run and waited for a processor, if the kernel counts it.
    pub(crate) run_delay_ns: Option<u64>,
}

impl Usage {
    /// The sums of this thread; an unknown value is 0.
    pub(crate) fn now() -> Self {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
        Self {
            cpu_ns: cpu_ns(),
            involuntary_switches: involuntary_switches(&status).unwrap_or(0),
            major_faults: major_faults(&stat).unwrap_or(0),
            run_delay_ns: run_delay_ns(),
        }
    }

    /// What has been used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            involuntary_switches: self
                .involuntary_switches
                .saturating_sub(before.involuntary_switches),
            major_faults: self.major_faults.saturating_sub(before.major_faults),
            run_delay_ns: difference(self.run_delay_ns, before.run_delay_ns),
        }
    }
}

/// Processor time that this thread has used.
pub(crate) fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, rest) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
    seconds * 1_000_000_000 + rest
}

/// Time that this thread was ready to run and waited for a processor, if the kernel counts it.
pub(crate) fn run_delay_ns() -> Option<u64> {
    run_delay_of(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)
}

/// What a sum has grown by, if both values are known.
pub(crate) fn difference(now: Option<u64>, before: Option<u64>) -> Option<u64> {
    Some(now?.saturating_sub(before?))
}

/// The second of three numbers: time on a processor, time ready to run, number of times on one. A
/// kernel that does not count them writes zeros.
fn run_delay_of(schedstat: &str) -> Option<u64> {
    let mut numbers = schedstat.split_whitespace().map(|word| word.parse::<u64>().ok());
    let (_, delay_ns, times) = (numbers.next()?, numbers.next()??, numbers.next()??);
    (times > 0).then_some(delay_ns)
}

fn involuntary_switches(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line?.trim().parse().ok()
}

/// The twelfth field of proc_pid_stat(5); the second may contain spaces.
fn major_faults(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(9)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_texts_are_read_where_they_say_it() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t9\nnonvoluntary_ctxt_switches:\t12\n";
        assert_eq!(involuntary_switches(status), Some(12));
        assert_eq!(major_faults("7 (a b) c) S 1 2 3 4 5 6 7 8 42 9\n"), Some(42));
        assert_eq!(major_faults(""), None);
        assert_eq!(run_delay_of("5000 700 3\n"), Some(700));
        assert_eq!(run_delay_of("0 0 0\n"), None, "the kernel does not count");
        assert_eq!(run_delay_of(""), None);
    }

    #[test]
    fn work_uses_processor_time() {
        let before = Usage::now();
        while cpu_ns() < before.cpu_ns + 1_000_000 {}
        assert!(Usage::now().since(before).cpu_ns >= 1_000_000);
    }
}
