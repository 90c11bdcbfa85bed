//! The lock of a base. A base of a program that has not enabled threads takes none.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::lock_api::{GuardNoSend, RawMutex};

use crate::abi::access::log::{self, ABORT};

/// A mutex, or, without threads, only the note that the state is in use.
pub(crate) struct BaseLock {
    raw: parking_lot::RawMutex,
    is_shared: bool,
    /// Without threads: whether the state is in use.
    is_held: AtomicBool,
}

impl BaseLock {
    /// A lock that threads share, or one for a single thread.
    pub(crate) fn new(is_shared: bool) -> Self {
        Self { is_shared, ..Self::INIT }
    }
}

// SAFETY: a shared lock is parking_lot's. The other one excludes a second use by the same thread,
// and ends the program instead of granting it. Use by several threads is excluded by the program,
// which has not enabled threads before it made the base.
unsafe impl RawMutex for BaseLock {
    #[allow(clippy::declare_interior_mutable_const, reason = "as the trait wants it")]
    const INIT: Self =
        Self { raw: parking_lot::RawMutex::INIT, is_shared: true, is_held: AtomicBool::new(false) };

    // Whether it is unlocked by the thread that locked it is checked for neither kind.
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        if self.is_shared {
            self.raw.lock();
        } else if self.is_held.load(Ordering::Relaxed) {
            log::fatal(
                ABORT,
                "two threads use one event_base; call evthread_use_pthreads before \
                 event_base_new",
            );
        } else {
            self.is_held.store(true, Ordering::Relaxed);
        }
    }

    fn try_lock(&self) -> bool {
        if self.is_shared {
            return self.raw.try_lock();
        }
        let was_held = self.is_held.load(Ordering::Relaxed);
        self.is_held.store(true, Ordering::Relaxed);
        !was_held
    }

    #[inline]
    unsafe fn unlock(&self) {
        if self.is_shared {
            // SAFETY: the caller holds the lock.
            unsafe { self.raw.unlock() }
        } else {
            self.is_held.store(false, Ordering::Relaxed);
        }
    }
}
