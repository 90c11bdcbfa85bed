//! The only folder with `unsafe`: thin wrappers over system calls.
//!
//! Each file wraps one kernel facility. Results are `io::Result`, descriptors are `OwnedFd`.
//! No wrapper retries, logs or decides anything, except which of two calls a kernel supports.

#![expect(unsafe_code, reason = "system calls have no safe form in std")]

#[cfg(feature = "bufferevent")]
pub(crate) mod accept;
pub(crate) mod clock;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod fd;
#[cfg(feature = "server")]
pub(crate) mod malloc;
pub(crate) mod memory;
pub(crate) mod poll;
pub(crate) mod process;
#[cfg(feature = "server")]
pub(crate) mod rusage;
#[cfg(test)]
pub(crate) mod seccomp;
pub(crate) mod select;
pub(crate) mod signal;
pub(crate) mod signal_counts;
pub(crate) mod signalfd;
#[cfg(feature = "server")]
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod uring;

use std::time::Duration;

/// The result of a system call, or the `io::Error` of `errno` if it is -1.
fn check<T: PartialEq + From<i8>>(result: T) -> std::io::Result<T> {
    if result == T::from(-1) { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}

/// A duration as the kernel takes it, saturated at the kernel's maximum.
fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// A pointer into `storage` that is valid as long as `storage`; null for `None`, which is forever.
fn timespec_or_null(
    timeout: Option<Duration>,
    storage: &mut Option<libc::timespec>,
) -> *mut libc::timespec {
    *storage = timeout.map(timespec);
    storage.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut)
}
