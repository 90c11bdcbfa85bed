//! `epoll(7)`: create, ctl, wait. No policy.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{check, timespec};

/// `EPOLLIN`.
pub(crate) const IN: u32 = libc::EPOLLIN as u32;
/// `EPOLLOUT`.
pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;
/// `EPOLLRDHUP`.
pub(crate) const RDHUP: u32 = libc::EPOLLRDHUP as u32;
/// `EPOLLERR`.
pub(crate) const ERR: u32 = libc::EPOLLERR as u32;
/// `EPOLLHUP`.
pub(crate) const HUP: u32 = libc::EPOLLHUP as u32;
/// `EPOLLET`.
pub(crate) const ET: u32 = libc::EPOLLET as u32;
/// `EPOLLONESHOT`.
pub(crate) const ONESHOT: u32 = libc::EPOLLONESHOT as u32;

/// An operation of `epoll_ctl(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// `EPOLL_CTL_ADD`.
    Add,
    /// `EPOLL_CTL_MOD`.
    Mod,
    /// `EPOLL_CTL_DEL`.
    Del,
}

impl Op {
    /// The call's name for error messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Add => "epoll_ctl(ADD)",
            Self::Mod => "epoll_ctl(MOD)",
            Self::Del => "epoll_ctl(DEL)",
        }
    }

    /// The kernel's number for it.
    #[inline]
    pub(super) fn raw(self) -> i32 {
        match self {
            Self::Add => libc::EPOLL_CTL_ADD,
            Self::Mod => libc::EPOLL_CTL_MOD,
            Self::Del => libc::EPOLL_CTL_DEL,
        }
    }
}

/// One entry of the event array.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct EpollEvent(libc::epoll_event);

impl EpollEvent {
    pub(crate) const EMPTY: Self = Self(libc::epoll_event { events: 0, u64: 0 });

    /// The descriptor given to [`Epoll::ctl`].
    pub(crate) fn fd(self) -> RawFd {
        self.0.u64 as RawFd
    }

    /// The `EPOLL*` bits that are ready.
    pub(crate) fn events(self) -> u32 {
        self.0.events
    }
}

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    /// `epoll_create1(EPOLL_CLOEXEC)`.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel just returned this descriptor; no other value owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }

    /// `epoll_ctl(2)`; the descriptor itself is the event's data.
    #[inline]
    pub(crate) fn ctl(&self, op: Op, fd: RawFd, events: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: fd as u64 };
        // SAFETY: `event` lives across the call and the kernel only reads it.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), op.raw(), fd, &raw mut event) })?;
        Ok(())
    }

    /// Waits at most `timeout` (`None` is forever) and fills `events` from the start.
    ///
    /// The timeout is in nanoseconds where the kernel has `epoll_pwait2(2)` (5.11), otherwise it is
    /// rounded up to milliseconds. Returns how many entries were filled.
    #[inline]
    pub(crate) fn wait(
        &self,
        events: &mut [EpollEvent],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        match timeout {
            None => self.wait_ms(events, -1),
            Some(Duration::ZERO) => self.wait_ms(events, 0),
            Some(timeout) => self.wait_at_most(events, timeout),
        }
    }

    #[inline(never)]
    fn wait_at_most(&self, events: &mut [EpollEvent], timeout: Duration) -> io::Result<usize> {
        // Miri has only `epoll_wait`.
        static HAS_PWAIT2: AtomicBool = AtomicBool::new(!cfg!(miri));
        if HAS_PWAIT2.load(Ordering::Relaxed) {
            match self.wait_ns(events, timeout) {
                // Older container sandboxes return EPERM for calls that they do not know.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    HAS_PWAIT2.store(false, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        self.wait_ms(events, round_up_to_ms(timeout))
    }

    #[inline]
    fn wait_ms(&self, events: &mut [EpollEvent], timeout_ms: i32) -> io::Result<usize> {
        let array = events.as_mut_ptr().cast();
        let length = i32::try_from(events.len()).unwrap_or(i32::MAX);
        // SAFETY: `EpollEvent` is transparent over `epoll_event`, and the array is `length` long.
        let n = check(unsafe { libc::epoll_wait(self.fd.as_raw_fd(), array, length, timeout_ms) })?;
        Ok(n as usize)
    }

    fn wait_ns(&self, events: &mut [EpollEvent], timeout: Duration) -> io::Result<usize> {
        let timeout = timespec(timeout);
        // SAFETY: `EpollEvent` is transparent over `epoll_event` and the array has the length
        // given; the timespec lives across the call; a null signal mask is allowed.
        let n = check(unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                events.as_mut_ptr(),
                libc::c_long::try_from(events.len()).unwrap_or(i32::MAX.into()),
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        })?;
        Ok(n as usize)
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Rounds up, because a wait that ends before the next timer is due would make the loop spin.
fn round_up_to_ms(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_round_up_and_never_overflow() {
        assert_eq!(round_up_to_ms(Duration::from_nanos(1)), 1);
        assert_eq!(round_up_to_ms(Duration::from_millis(7)), 7);
        assert_eq!(round_up_to_ms(Duration::from_micros(7001)), 8);
        assert_eq!(round_up_to_ms(Duration::MAX), i32::MAX);
    }

    #[test]
    fn an_endless_timespec_is_accepted_by_the_kernel() {
        let epoll = Epoll::new().unwrap();
        let eventfd = crate::sys::eventfd::EventFd::new().unwrap();
        eventfd.signal().unwrap();
        epoll.ctl(Op::Add, eventfd.as_raw_fd(), IN).unwrap();
        let mut events = [EpollEvent::EMPTY; 4];
        assert_eq!(epoll.wait(&mut events, Some(Duration::MAX)).unwrap(), 1);
        assert_eq!(events[0].fd(), eventfd.as_raw_fd());
        assert_eq!(events[0].events(), IN);
    }
}
