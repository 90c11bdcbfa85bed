//! Questions about descriptors.

use std::os::fd::RawFd;

use super::syscall;

/// Whether `fd` names an open file of this process (`fcntl(F_GETFD)`).
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: takes no pointer; any number may be asked about.
    syscall!(fcntl(fd, libc::F_GETFD)).is_ok()
}
