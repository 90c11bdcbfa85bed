//! Resource usage of the calling thread (`getrusage(2)`, `RUSAGE_THREAD`).

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use super::check;

/// Resource usage of a thread since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadUsage {
    /// CPU time in user and kernel mode; as precise as the kernel accounts it.
    pub(crate) cpu: Duration,
    /// Times the kernel preempted it.
    pub(crate) switches_involuntary: u64,
    /// Times it yielded the core, mostly to wait.
    pub(crate) switches_voluntary: u64,
}

/// The calling thread's usage so far; one system call.
///
/// # Errors
///
/// None on a kernel that supports the call for threads (Linux 2.6.26).
pub(crate) fn thread_usage() -> io::Result<ThreadUsage> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is to memory of the right type that lives across the call.
    check(unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so the kernel filled all of it.
    let usage = unsafe { usage.assume_init() };
    Ok(ThreadUsage {
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        switches_involuntary: usage.ru_nivcsw as u64,
        switches_voluntary: usage.ru_nvcsw as u64,
    })
}

/// Never negative here, and the microseconds are less than a second.
fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1_000)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_that_works_uses_time_and_one_that_waits_gives_the_core_up() {
        let begun = thread_usage().unwrap();
        let mut now = begun;
        while now.cpu < begun.cpu + Duration::from_millis(5) {
            black_box((0..10_000).fold(0_u64, |sum, i| black_box(sum ^ i)));
            now = thread_usage().unwrap();
        }
        let others = thread::spawn(|| thread_usage().unwrap()).join().unwrap();
        assert!(others.cpu < now.cpu, "another thread's use is its own: {others:?}");

        thread::sleep(Duration::from_millis(1));
        assert!(thread_usage().unwrap().switches_voluntary > begun.switches_voluntary);
    }
}
