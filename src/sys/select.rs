//! `pselect6(2)` with bit sets of any length. No policy.
//!
//! The C library's `fd_set` ends at descriptor 1023. The kernel's sets have as many bits as the
//! caller passes.

use std::io;
use std::time::Duration;

use super::{check, timespec_or_null};

/// Descriptors in one word of a set: bit `fd % 64` of word `fd / 64`, as the kernel counts.
pub(crate) const WORD_BITS: usize = u64::BITS as usize;

/// Waits at most `timeout` (`None` is forever), in nanoseconds, and leaves only the ready
/// descriptors in the sets. Returns how many bits it left.
///
/// # Errors
///
/// `EBADF` if a set contains a descriptor that is not open; `EINTR`. The sets are then undefined.
///
/// # Panics
///
/// Unless both sets are equally long.
pub(crate) fn wait(
    readable: &mut [u64],
    writable: &mut [u64],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    assert_eq!(readable.len(), writable.len(), "the kernel takes one length for both");
    let mut storage = None;
    let timeout = timespec_or_null(timeout, &mut storage);
    // SAFETY: both sets have the number of bits given, in the kernel's layout (words of 64 bits);
    // a null exception set is allowed; the timespec is null or lives in `storage`, which the
    // kernel may write to; a null signal mask is allowed.
    let n = check(unsafe {
        libc::syscall(
            libc::SYS_pselect6,
            libc::c_long::try_from(readable.len() * WORD_BITS).unwrap_or(i32::MAX.into()),
            readable.as_mut_ptr(),
            writable.as_mut_ptr(),
            std::ptr::null_mut::<u64>(),
            timeout,
            std::ptr::null::<libc::c_void>(),
        )
    })?;
    Ok(n as usize)
}
