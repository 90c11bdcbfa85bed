//! How the epoll backend's changes reach the kernel: one call each, or all through an io_uring.
//!
//! A ring saves system calls, but makes each change a submission and a completion. Nanoseconds per
//! change, medians of 2,000 interleaved flushes (4,000 for MOD) of one release build on Linux 6.18:
//!
//! | changes per flush | MOD, calls | MOD, ring | ADD, calls | ADD, ring |
//! |---|---|---|---|---|
//! | 1 | 451 | 781 | 871 | 1222 |
//! | 2 | 436 | 526 | 841 | 921 |
//! | 4 | 433 | 403 | 831 | 786 |
//! | 8 | 432 | 342 | 840 | 708 |
//! | 16 | 433 | 312 | 879 | 664 |
//! | 64 | 433 | 293 | 853 | 659 |
//! | 256 | 437 | 293 | 882 | 677 |
//!
//! The ring is faster from four changes on. It costs 24 KiB, and 15 µs to open; some twenty flushes
//! of eight changes save as much. The benchmark `changes` of `benches/bases` compares the two
//! through a base, with its variants `deferred` and `uring`.

use std::io;

use super::ChangelistFlush;
use super::uring::open_ring;
use crate::sys::epoll::Epoll;
use crate::sys::uring::{CtlRequest, Ring};

/// [`ChangelistFlush::Auto`] uses a ring for flushes of at least this many changes. Each then costs
/// a fifth less, by the table above.
pub(super) const AUTO_MIN: usize = 8;

/// Length of the ring's queues: a flush costs one call for this many changes.
const RING_ENTRIES: u32 = 256;

/// See the module's documentation.
pub(super) enum Flush {
    /// One call per change.
    Calls,
    /// The same, until the first flush that is large enough for a ring.
    Undecided,
    /// Through a ring whenever a flush has at least this many changes.
    Ring(usize, Box<RingFlush>),
}

impl Flush {
    pub(super) fn new(flush: ChangelistFlush) -> io::Result<Self> {
        Ok(match flush {
            ChangelistFlush::Auto => Self::Undecided,
            ChangelistFlush::EpollCtl => Self::Calls,
            ChangelistFlush::IoUring => Self::Ring(1, Box::new(RingFlush::new()?)),
        })
    }

    /// The ring, if this many changes should go through it.
    #[inline]
    pub(super) fn ring_for(&mut self, changes: usize) -> Option<&mut RingFlush> {
        if matches!(self, Self::Undecided) && changes >= AUTO_MIN {
            self.decide();
        }
        match self {
            Self::Ring(min, ring) if changes >= *min => Some(ring),
            _ => None,
        }
    }

    /// Opens a ring. A refusal is no error: calls have the same effect.
    #[cold]
    fn decide(&mut self) {
        *self = RingFlush::new().map_or(Self::Calls, |ring| Self::Ring(AUTO_MIN, Box::new(ring)));
    }
}

/// A ring and the buffers of a flush.
pub(super) struct RingFlush {
    ring: Ring,
    requests: Vec<CtlRequest>,
    results: Vec<i32>,
}

impl RingFlush {
    fn new() -> io::Result<Self> {
        Ok(Self {
            ring: open_ring(RING_ENTRIES, RING_ENTRIES)?,
            requests: Vec::new(),
            results: Vec::new(),
        })
    }

    /// Makes all requests and returns the result of each: 0 or a negative `errno`. After an error
    /// the caller must drop the ring.
    pub(super) fn make(
        &mut self,
        epoll: &Epoll,
        requests: impl Iterator<Item = CtlRequest>,
    ) -> io::Result<impl Iterator<Item = i32>> {
        self.requests.clear();
        self.requests.extend(requests);
        self.results.clear();
        self.ring.epoll_ctl_all(epoll, &self.requests, &mut self.results)?;
        Ok(self.results.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::thread;

    use test_needs::Need;

    use super::super::{BackendKind, Change};
    use super::*;
    use crate::backend::tests::suite::{TestBackend, signalled};
    use crate::event::Interest;
    use crate::sys::epoll::{IN, Op};
    use crate::sys::eventfd::EventFd;
    use crate::sys::seccomp::{self, refuse};

    const READ: Interest = Interest::READ;
    const NOTHING: Interest = Interest::empty();

    #[test]
    fn a_ring_is_opened_by_the_first_flush_that_is_large_enough() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let mut flush = Flush::new(ChangelistFlush::Auto).unwrap();
        assert!(flush.ring_for(AUTO_MIN - 1).is_none());
        assert!(matches!(flush, Flush::Undecided));
        assert!(flush.ring_for(AUTO_MIN).is_some());
        assert!(matches!(flush, Flush::Ring(..)));
        assert!(flush.ring_for(AUTO_MIN - 1).is_none(), "small ones stay calls");
    }

    #[test]
    fn a_configured_flush_always_or_never_uses_a_ring() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let mut calls = Flush::new(ChangelistFlush::EpollCtl).unwrap();
        assert!(calls.ring_for(10_000).is_none());
        let mut ring = Flush::new(ChangelistFlush::IoUring).unwrap();
        assert!(ring.ring_for(1).is_some());
    }

    #[test]
    fn all_changes_of_a_flush_are_one_call_up_to_the_queue_length() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let (epoll, mut flush) = (Epoll::new().unwrap(), RingFlush::new().unwrap());
        let many: Vec<EventFd> = (0..300).map(|_| EventFd::new().unwrap()).collect();
        for (count, calls) in [(1, 1), (256, 1), (300, 2)] {
            let before = flush.ring.enters;
            for op in [Op::Add, Op::Mod, Op::Del] {
                let some = many[..count].iter();
                let requests = some.map(|fd| CtlRequest::new(op, fd.as_raw_fd(), IN));
                let results: Vec<i32> = flush.make(&epoll, requests).unwrap().collect();
                assert_eq!(results, vec![0; count]);
            }
            assert_eq!(flush.ring.enters - before, 3 * calls, "{count} changes");
        }
    }

    #[test]
    fn each_result_is_that_of_its_own_change() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let (epoll, mut flush) = (Epoll::new().unwrap(), RingFlush::new().unwrap());
        let (one, two) = (EventFd::new().unwrap(), EventFd::new().unwrap());
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let requests = [
            CtlRequest::new(Op::Mod, one.as_raw_fd(), IN),
            CtlRequest::new(Op::Add, two.as_raw_fd(), IN),
            CtlRequest::new(Op::Add, two.as_raw_fd(), IN),
            CtlRequest::new(Op::Add, file.as_raw_fd(), IN),
            CtlRequest::new(Op::Del, -1, 0),
        ];
        let results: Vec<i32> = flush.make(&epoll, requests.into_iter()).unwrap().collect();
        let expected = [-libc::ENOENT, 0, -libc::EEXIST, -libc::EPERM, -libc::EBADF];
        assert_eq!(results, expected);
    }

    #[test]
    fn where_the_kernel_refuses_a_ring_auto_makes_calls_and_asking_for_one_is_an_error() {
        if seccomp::is_missing() {
            return;
        }
        let message = thread::spawn(|| {
            refuse(libc::SYS_io_uring_setup, libc::EPERM).unwrap();
            let error = BackendKind::Epoll.open(ChangelistFlush::IoUring).map(drop).unwrap_err();
            let mut test = TestBackend::of(
                BackendKind::Epoll,
                BackendKind::Epoll.open(ChangelistFlush::Auto).unwrap(),
            );
            let many: Vec<EventFd> = (0..2 * AUTO_MIN).map(|_| signalled()).collect();
            let adds: Vec<Change> =
                many.iter().map(|fd| Change::of(fd.as_raw_fd(), NOTHING, READ)).collect();
            test.backend.apply(&adds, &mut test.refused);
            assert_eq!(test.refused, []);
            assert_eq!(test.now().len(), many.len());
            let mut flush = Flush::new(ChangelistFlush::Auto).unwrap();
            assert!(flush.ring_for(AUTO_MIN).is_none());
            assert!(matches!(flush, Flush::Calls), "it tries only once");
            error.to_string()
        });
        let message = message.join().unwrap();
        assert!(message.starts_with("io_uring_setup: Operation not permitted"), "{message}");
        assert!(message.contains("kernel.io_uring_disabled"), "{message}");
    }

    #[test]
    fn a_ring_that_fails_is_given_up_and_calls_go_on() {
        if test_needs::missing(Need::IoUring) || seccomp::is_missing() {
            return;
        }
        thread::spawn(|| {
            let mut test = TestBackend::of(
                BackendKind::Epoll,
                BackendKind::Epoll.open(ChangelistFlush::IoUring).unwrap(),
            );
            refuse(libc::SYS_io_uring_enter, libc::EPERM).unwrap();
            let ready = signalled();
            for _ in 0..2 {
                test.change(&ready, NOTHING, READ);
                assert_eq!(test.now().len(), 1);
                test.change(&ready, READ, NOTHING);
            }
        })
        .join()
        .unwrap();
    }
}
