//! Checks and copies of descriptors (`fcntl(2)`).

use std::os::fd::RawFd;

use super::check;

/// Whether `fd` names an open file of this process (`fcntl(F_GETFD)`).
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: takes no pointer; any number is allowed.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) }).is_ok()
}

/// A duplicate of `fd` with the lowest free number from `lowest` on (`fcntl(F_DUPFD_CLOEXEC)`),
/// for tests that need a number which no other test takes once it is closed.
#[cfg(test)]
pub(crate) fn duplicate(
    fd: &impl std::os::fd::AsRawFd,
    lowest: RawFd,
) -> std::io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::{FromRawFd, OwnedFd};
    let fd = fd.as_raw_fd();
    // SAFETY: takes no pointer.
    let copy = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest) })?;
    // SAFETY: the kernel just returned this descriptor; no other value owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
