//! `eventfd(2)`: a counter that another thread's `epoll_wait` can see.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// A non-blocking event descriptor.
#[derive(Debug)]
pub(crate) struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// `eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)`.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the kernel just returned this descriptor; no other value owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }

    /// Adds one to the counter. Edge-triggered watchers see every call.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the counter is full (2^64 - 2 signals unread): it is readable already.
    pub(crate) fn signal(&self) -> io::Result<()> {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the buffer is eight bytes long and lives across the call.
        check(unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) })?;
        Ok(())
    }

    /// Sets the counter to zero, so that the descriptor is not readable. It may be zero already.
    pub(crate) fn drain(&self) -> io::Result<()> {
        let mut count = [0_u8; 8];
        // SAFETY: the buffer is eight bytes long and lives across the call.
        let n = unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        match check(n) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Replaces the counter by a new one under the same number (`dup3(2)`). After `fork(2)` a child
    /// so gets a counter of its own.
    pub(crate) fn renew(&self) -> io::Result<()> {
        let new = Self::new()?;
        let (from, to) = (new.fd.as_raw_fd(), self.fd.as_raw_fd());
        // SAFETY: takes no pointer; both descriptors are ours, and `to` stays ours.
        check(unsafe { libc::dup3(from, to, libc::O_CLOEXEC) })?;
        Ok(())
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
