//! The end of a callback, for threads that wait for it.

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Threads that wait. Each gives up the base's lock between `watch` and `wait`. A thread that
/// changes what they wait for calls `notify` afterwards, and finds them waiting.
#[derive(Default)]
pub(super) struct Finished {
    lock: Mutex<()>,
    condition: Condvar,
}

/// A thread that will wait, and misses no notification from now on.
pub(super) struct Watch<'a> {
    finished: &'a Finished,
    guard: MutexGuard<'a, ()>,
}

impl Finished {
    /// Call it with the base's lock held.
    pub(super) fn watch(&self) -> Watch<'_> {
        Watch { finished: self, guard: self.lock.lock() }
    }

    /// Wakes all threads that wait. Call it with the base's lock held.
    pub(super) fn notify(&self) {
        let _guard = self.lock.lock();
        self.condition.notify_all();
    }
}

impl Watch<'_> {
    /// Waits for the next notification. Call it without the base's lock.
    pub(super) fn wait(mut self) {
        self.finished.condition.wait(&mut self.guard);
    }
}
