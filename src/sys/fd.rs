//! Questions about descriptors.

use std::os::fd::RawFd;

use super::check;

/// Whether `fd` names an open file of this process (`fcntl(F_GETFD)`).
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: takes no pointer; any number may be asked about.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) }).is_ok()
}
