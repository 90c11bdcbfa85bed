//! The one socket call that std cannot make: `accept4(2)` with its flags.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::check;

/// Accepts one connection, non-blocking and close-on-exec from birth; the peer is not asked for.
///
/// # Errors
///
/// `WouldBlock` when no connection waits; everything else `accept4(2)` lists.
pub(crate) fn accept(listener: &impl AsFd) -> io::Result<OwnedFd> {
    let (address, length) = (std::ptr::null_mut(), std::ptr::null_mut());
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null address pointers are allowed and mean that the peer's address is not wanted.
    let fd = check(unsafe { libc::accept4(listener.as_fd().as_raw_fd(), address, length, flags) })?;
    // SAFETY: the kernel just returned this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
