//! `signalfd(2)`: blocked signals read from a descriptor.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// Maximum number of signals in one read.
const BATCH: usize = 16;

/// Maximum number of reads in a drain. Signals beyond it keep the descriptor readable.
const READS_MAX: usize = 64;

/// A descriptor that is readable while one of its signals is pending, and the signals that it
/// blocked in its thread.
#[derive(Debug)]
pub(crate) struct SignalFd {
    fd: OwnedFd,
    watched: SignalSet,
    /// Those that were not blocked before.
    unblock_later: SignalSet,
}

impl SignalFd {
    /// Opens a descriptor that watches no signal yet.
    pub(crate) fn new() -> io::Result<Self> {
        let none = SignalSet::empty()?;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set lives across the call, which only reads it.
        let fd = check(unsafe { libc::signalfd(-1, &raw const none.0, flags) })?;
        // SAFETY: the kernel just returned this descriptor; no other value owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, watched: none, unblock_later: none })
    }

    /// Blocks a signal in this thread and reports it from now on.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number that is not a signal's, and for signals that cannot be blocked: the
    /// kernel would accept them and never report one.
    pub(crate) fn watch(&mut self, number: i32) -> io::Result<()> {
        if matches!(number, libc::SIGKILL | libc::SIGSTOP) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut watched = self.watched;
        watched.insert(number)?;
        self.update(watched)?;
        if !mask(libc::SIG_BLOCK, SignalSet::of(number)?)?.contains(number) {
            self.unblock_later.insert(number)?;
        }
        Ok(())
    }

    /// Stops reporting a signal, and unblocks it if it was not blocked before.
    ///
    /// It drops deliveries that were not read. After unblocking they would trigger the signal's
    /// default action, which may end the process.
    pub(crate) fn unwatch(&mut self, number: i32) {
        let mut watched = self.watched;
        watched.remove(number);
        let _ = self.update(watched);
        if self.unblock_later.contains(number) {
            self.unblock_later.remove(number);
            let _ = SignalSet::of(number).and_then(unblock);
        }
    }

    fn update(&mut self, watched: SignalSet) -> io::Result<()> {
        // SAFETY: the set lives across the call, which only reads it.
        check(unsafe { libc::signalfd(self.fd.as_raw_fd(), &raw const watched.0, 0) })?;
        self.watched = watched;
        Ok(())
    }

    /// Calls `report` with the number of every signal that was pending, 1,024 at most.
    pub(crate) fn drain(&self, mut report: impl FnMut(i32)) -> io::Result<()> {
        let mut batch = [const { MaybeUninit::<libc::signalfd_siginfo>::zeroed() }; BATCH];
        for _ in 0..READS_MAX {
            let length = size_of_val(&batch);
            let buffer = batch.as_mut_ptr().cast();
            // SAFETY: the buffer is `length` bytes long and lives across the call.
            let n = check(unsafe { libc::read(self.fd.as_raw_fd(), buffer, length) });
            let filled = match n {
                Ok(n) => n as usize / size_of::<libc::signalfd_siginfo>(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            for info in &batch[..filled] {
                // SAFETY: it was zeroed, and then filled by the kernel; any bytes are valid.
                let info = unsafe { info.assume_init_ref() };
                report(info.ssi_signo as i32);
            }
        }
        Ok(())
    }
}

impl AsRawFd for SignalFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Drop for SignalFd {
    fn drop(&mut self) {
        let _ = unblock(self.unblock_later);
    }
}

/// A set of signals.
#[derive(Clone, Copy)]
struct SignalSet(libc::sigset_t);

impl SignalSet {
    fn empty() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: the set lives across the call, which fills it.
        check(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
        // SAFETY: the call above succeeded, so it is filled.
        Ok(Self(unsafe { set.assume_init() }))
    }

    fn of(number: i32) -> io::Result<Self> {
        let mut set = Self::empty()?;
        set.insert(number)?;
        Ok(set)
    }

    fn insert(&mut self, number: i32) -> io::Result<()> {
        // SAFETY: the set lives across the call and was initialised.
        check(unsafe { libc::sigaddset(&raw mut self.0, number) })?;
        Ok(())
    }

    fn remove(&mut self, number: i32) {
        // SAFETY: the set lives across the call and was initialised.
        let result = unsafe { libc::sigdelset(&raw mut self.0, number) };
        debug_assert!(check(result).is_ok(), "a signal that was inserted can be removed");
    }

    fn contains(&self, number: i32) -> bool {
        // SAFETY: the set lives across the call and was initialised.
        unsafe { libc::sigismember(&raw const self.0, number) == 1 }
    }
}

impl std::fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members =
            (1..=super::signal_counts::SIGNAL_MAX).filter(|number| self.contains(*number));
        f.debug_set().entries(members).finish()
    }
}

/// Unblocks signals in this thread and drops their pending deliveries. It must drop all, because
/// one that is left may end the process. The kernel bounds their number (`RLIMIT_SIGPENDING`).
fn unblock(set: SignalSet) -> io::Result<()> {
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        // SAFETY: set and timespec live across the call; a null siginfo is allowed.
        let taken = unsafe {
            libc::sigtimedwait(&raw const set.0, std::ptr::null_mut(), &raw const at_once)
        };
        match check(taken) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
            _ => {}
        }
    }
    mask(libc::SIG_UNBLOCK, set).map(drop)
}

/// Changes which signals this thread blocks; returns the previous set.
fn mask(how: i32, set: SignalSet) -> io::Result<SignalSet> {
    let mut before = SignalSet::empty()?;
    // SAFETY: both sets live across the call.
    let errno = unsafe { libc::pthread_sigmask(how, &raw const set.0, &raw mut before.0) };
    if errno == 0 { Ok(before) } else { Err(io::Error::from_raw_os_error(errno)) }
}
