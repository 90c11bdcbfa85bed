//! `ppoll(2)`: one call, one array. No policy.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::{check, timespec_or_null};

/// `POLLIN`.
pub(crate) const IN: u32 = libc::POLLIN as u32;
/// `POLLOUT`.
pub(crate) const OUT: u32 = libc::POLLOUT as u32;
/// `POLLRDHUP`.
pub(crate) const RDHUP: u32 = libc::POLLRDHUP as u32;
/// `POLLERR`.
pub(crate) const ERR: u32 = libc::POLLERR as u32;
/// `POLLHUP`.
pub(crate) const HUP: u32 = libc::POLLHUP as u32;
/// `POLLNVAL`.
pub(crate) const NVAL: u32 = libc::POLLNVAL as u32;

/// One entry of the array.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct PollFd(libc::pollfd);

impl PollFd {
    /// Watches `fd` for the `POLL*` bits of `events`.
    pub(crate) fn new(fd: RawFd, events: u32) -> Self {
        Self(libc::pollfd { fd, events: events as libc::c_short, revents: 0 })
    }

    /// The descriptor it watches.
    pub(crate) fn fd(self) -> RawFd {
        self.0.fd
    }

    /// The `POLL*` bits that the last call found.
    pub(crate) fn found(self) -> u32 {
        self.0.revents as u16 as u32
    }
}

/// `ppoll(2)` without a signal mask: waits at most `timeout` (`None` is forever), in nanoseconds.
///
/// Returns how many entries are ready.
pub(crate) fn wait(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<usize> {
    let (mut storage, array) = (None, fds.as_mut_ptr().cast());
    let timeout = timespec_or_null(timeout, &mut storage);
    let length = fds.len() as libc::nfds_t;
    // SAFETY: `PollFd` is transparent over `pollfd` and the array has the length given; the
    // timespec is null or lives in `storage`; a null signal mask is allowed.
    let n = check(unsafe { libc::ppoll(array, length, timeout, std::ptr::null()) })?;
    Ok(n as usize)
}
