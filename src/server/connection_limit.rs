//! The connection limit: a counting semaphore of open connections, exact over all acceptors. It
//! also wakes acceptors that wait for a connection to close.
//!
//! One word holds everything: whether an acceptor waits, how many connections are open, and how
//! many were ever released. All threads change it by read-modify-write, so all steps have one
//! order. If a release comes before an acceptor sets the waiting flag, the acceptor finds it. If it
//! comes after, the releasing thread sees the flag and wakes the acceptors. An acceptor that waits
//! for descriptors also sets the flag first and then tries once more.

use std::num::NonZeroUsize;

use crate::base::Notifier;
use crate::sync::{AtomicU64, Ordering};

/// Set while an acceptor waits.
const WAITING: u64 = 1;
/// One open connection; the count has the bits from here up to the releases.
const ONE: u64 = 2;
/// One release. The count wraps; only changes of it matter.
const RELEASE: u64 = 1 << 32;
/// More than the possible number of descriptors.
const OPEN_MAX: u64 = (RELEASE - ONE) / ONE;

/// Counts open connections and limits them.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    word: AtomicU64,
    /// Orders nothing: the acceptors are woken after a change, and a message orders that.
    max: AtomicU64,
    acceptors: Box<[Notifier]>,
}

fn bounded(max: Option<NonZeroUsize>) -> u64 {
    max.map_or(OPEN_MAX, |max| OPEN_MAX.min(max.get() as u64))
}

fn open(word: u64) -> u64 {
    word % RELEASE / ONE
}

impl ConnectionLimit {
    /// Allows `max` connections. `acceptors` wake the bases of all acceptors.
    pub(super) fn new(max: Option<NonZeroUsize>, acceptors: Vec<Notifier>) -> Self {
        let (word, max) = (AtomicU64::new(0), AtomicU64::new(bounded(max)));
        Self { word, max, acceptors: acceptors.into() }
    }

    /// Allows `max` connections from now on. Open ones beyond it stay. An acceptor that waits does
    /// not notice it: each must try once more afterwards.
    pub(super) fn set_max(&self, max: Option<NonZeroUsize>) {
        self.max.store(bounded(max), Ordering::Relaxed);
    }

    fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// Acceptor: acquires a slot for one connection, if one is free.
    pub(super) fn try_acquire(&self) -> bool {
        let try_acquire = |word| (open(word) < self.max()).then_some(word + ONE);
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, try_acquire).is_ok()
    }

    /// Acceptor: returns a slot for which no connection came. This frees no descriptor, so
    /// acceptors are woken only if the limit was reached.
    pub(super) fn cancel(&self) {
        let before = self.word.fetch_sub(ONE, Ordering::AcqRel);
        if open(before) >= self.max() && before & WAITING != 0 && self.clear_waiting() {
            self.wake_acceptors();
        }
    }

    /// Called by the thread that closed a connection, after its socket is closed.
    pub(super) fn release(&self) {
        if self.count_release() {
            self.wake_acceptors();
        }
    }

    /// Acceptor: whether a slot is free. If not, a later release wakes the acceptors.
    pub(super) fn has_room_or_wait(&self) -> bool {
        let wait = |word| (open(word) >= self.max()).then_some(word | WAITING);
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, wait).is_err()
    }

    /// Acceptor, before it tries once more and after each notification: the number of releases,
    /// which wraps. The next release wakes the acceptors.
    pub(super) fn releases_or_wait(&self) -> u32 {
        (self.word.fetch_or(WAITING, Ordering::AcqRel) / RELEASE) as u32
    }

    /// Wakes every acceptor, because what it waits for may have happened.
    pub(super) fn wake_acceptors(&self) {
        for acceptor in &self.acceptors {
            acceptor.notify();
        }
    }

    /// Counts a release. Returns whether an acceptor waits and must be woken.
    #[must_use = "an acceptor that waits must be woken"]
    fn count_release(&self) -> bool {
        let before = self.word.fetch_add(RELEASE - ONE, Ordering::AcqRel);
        debug_assert!(open(before) > 0, "more releases than acquires");
        before & WAITING != 0 && self.clear_waiting()
    }

    /// Clears the waiting flag. Of several threads, the one that cleared it must wake the
    /// acceptors.
    fn clear_waiting(&self) -> bool {
        self.word.fetch_and(!WAITING, Ordering::AcqRel) & WAITING != 0
    }

    /// How many connections are open.
    #[cfg(all(test, not(loom)))]
    pub(super) fn open(&self) -> u64 {
        open(self.word.load(Ordering::Acquire))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn limited_to(max: usize) -> ConnectionLimit {
        ConnectionLimit::new(NonZeroUsize::new(max), Vec::new())
    }

    #[test]
    fn the_limit_is_exact_however_many_acceptors_acquire() {
        let limit = limited_to(100);
        let acquired: usize = std::thread::scope(|scope| {
            let acceptor = || (0..1000).filter(|_| limit.try_acquire()).count();
            let acceptors: Vec<_> = (0..4).map(|_| scope.spawn(acceptor)).collect();
            acceptors.into_iter().map(|acceptor| acceptor.join().unwrap()).sum()
        });
        assert_eq!((acquired, limit.open()), (100, 100));
        assert!(!limit.has_room_or_wait());
        limit.release();
        assert!(limit.has_room_or_wait() && limit.try_acquire() && !limit.try_acquire());
    }

    #[test]
    fn a_limit_that_is_changed_counts_what_is_open() {
        let limit = limited_to(2);
        assert!(limit.try_acquire() && limit.try_acquire() && !limit.try_acquire());
        limit.set_max(NonZeroUsize::new(3));
        assert!(limit.try_acquire() && !limit.try_acquire());
        limit.set_max(NonZeroUsize::new(1));
        limit.release();
        limit.release();
        assert!(!limit.try_acquire() && limit.open() == 1);
        limit.release();
        assert!(limit.try_acquire() && !limit.try_acquire());
        limit.set_max(None);
        assert!(limit.try_acquire());
    }

    #[test]
    fn only_a_close_counts_as_a_release_and_the_count_wraps() {
        let limit = limited_to(2);
        limit.word.store(u64::from(u32::MAX) * RELEASE, Ordering::Relaxed);
        assert!(limit.try_acquire());
        let before = limit.releases_or_wait();
        assert!(limit.try_acquire());
        limit.cancel();
        assert_eq!((before, limit.releases_or_wait()), (u32::MAX, u32::MAX));
        limit.release();
        assert_eq!((limit.releases_or_wait(), limit.open()), (0, 0));
    }
}

/// T4 for a slot and for a descriptor: an acceptor finds what a release left, or is woken.
#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU32;
    use loom::thread;

    use super::*;

    fn full(max: u64) -> ConnectionLimit {
        let (word, max) = (AtomicU64::new(max * ONE), AtomicU64::new(max));
        ConnectionLimit { word, max, acceptors: Box::new([]) }
    }

    type Release = fn(&ConnectionLimit) -> bool;
    const COUNT_RELEASE: Release = ConnectionLimit::count_release;

    /// At a limit of two, two connections close while an acceptor looks for a slot.
    #[test]
    fn loom_t4_an_acceptor_at_the_limit_finds_a_slot_or_is_woken() {
        loom::model(|| {
            let shared = Arc::new((full(2), AtomicU32::new(0)));
            let closers: Vec<_> = (0..2)
                .map(|_| {
                    let shared = shared.clone();
                    thread::spawn(move || {
                        if COUNT_RELEASE(&shared.0) {
                            shared.1.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            let acquired = shared.0.has_room_or_wait() && shared.0.try_acquire();
            for closer in closers {
                closer.join().unwrap();
            }
            let woken = shared.1.load(Ordering::Relaxed);
            assert!(acquired || woken == 1, "the acceptor hangs, or is woken twice");
        });
    }

    /// The kernel counts descriptors, so their count orders nothing here.
    fn model(wait: fn(&ConnectionLimit) -> u32, release: Release) {
        loom::model(move || {
            let shared = Arc::new((full(1), AtomicU32::new(0), AtomicU32::new(0)));
            let closer = thread::spawn({
                let shared = shared.clone();
                move || {
                    shared.1.store(1, Ordering::Relaxed);
                    if release(&shared.0) {
                        shared.2.store(1, Ordering::Relaxed);
                    }
                }
            });
            let before = wait(&shared.0);
            let accepted = shared.1.load(Ordering::Relaxed) == 1;
            closer.join().unwrap();
            let woken = shared.2.load(Ordering::Relaxed) == 1;
            assert!(accepted || woken, "the acceptor hangs");
            assert!(
                accepted || shared.0.releases_or_wait() != before,
                "the acceptor does not see the release"
            );
        });
    }

    #[test]
    fn loom_t4_an_acceptor_without_descriptors_gets_one_or_is_woken() {
        model(ConnectionLimit::releases_or_wait, COUNT_RELEASE);
    }

    #[test]
    #[ignore = "must fail"]
    fn waiting_without_acquiring_what_was_released() {
        model(
            |limit| (limit.word.fetch_or(WAITING, Ordering::Relaxed) >> 32) as u32,
            COUNT_RELEASE,
        );
    }

    #[test]
    #[ignore = "must fail"]
    fn looking_for_an_acceptor_before_the_release() {
        model(ConnectionLimit::releases_or_wait, |limit| {
            let waits = limit.word.load(Ordering::Acquire) & WAITING != 0;
            COUNT_RELEASE(limit) && waits
        });
    }

    #[test]
    fn loom_t7_catches_every_mutation() {
        let mutation = |name| crate::sync::must_fail(&format!("{}::{name}", module_path!()));
        mutation("waiting_without_acquiring_what_was_released");
        mutation("looking_for_an_acceptor_before_the_release");
    }
}
