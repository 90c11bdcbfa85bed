//! The memory limit: how much all buffers hold, which of them are large, and whether to free some.
//!
//! Threads only add to these counters, and compare sums. No other memory depends on them, so no
//! order is needed. A worker that reads an old sum corrects itself with the next one: buffers that
//! grow ask again, and the last check before a growth is exact.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::trim::Trimmer;
use crate::base::Notifier;

/// Sizes of buffers are grouped by powers of two.
const CLASSES: usize = usize::BITS as usize;

/// Counts the bytes of all buffers and limits them.
#[derive(Debug)]
pub(in crate::server) struct MemoryLimit {
    held: AtomicUsize,
    max: AtomicUsize,
    /// Whether workers free memory: from 7/8 of the limit until 3/4 of it is held.
    is_freeing: AtomicBool,
    /// How many buffers there are of each class.
    buffers: [AtomicUsize; CLASSES],
    /// Wake the bases of all workers.
    workers: Box<[Notifier]>,
    trimmer: Trimmer,
}

/// The class of a buffer of this size; `None` if it has no memory.
fn class(bytes: usize) -> Option<usize> {
    bytes.checked_ilog2().map(|class| class as usize)
}

impl MemoryLimit {
    /// Allows `max` bytes. `workers` wake the bases of all workers.
    pub(in crate::server) fn new(max: usize, workers: Vec<Notifier>) -> Self {
        Self {
            held: AtomicUsize::new(0),
            max: AtomicUsize::new(max),
            is_freeing: AtomicBool::new(false),
            buffers: [const { AtomicUsize::new(0) }; CLASSES],
            workers: workers.into(),
            trimmer: Trimmer::start(),
        }
    }

    /// The maximum of bytes.
    pub(in crate::server) fn max(&self) -> usize {
        self.max.load(Relaxed)
    }

    /// Allows `max` bytes from now on, and frees memory if buffers hold too much for that.
    pub(in crate::server) fn set_max(&self, max: usize) {
        self.max.store(max, Relaxed);
        self.free_if_needed(self.held());
    }

    /// The bytes of all buffers.
    pub(in crate::server) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Counts a buffer that grows from `from` to `to` bytes, unless that would exceed the limit.
    /// Returns whether it may grow.
    pub(in crate::server) fn try_grow(&self, from: usize, to: usize) -> bool {
        let max = self.max();
        let grow = |held: usize| held.checked_add(to - from).filter(|held| *held <= max);
        let Ok(before) = self.held.fetch_update(Relaxed, Relaxed, grow) else {
            self.start_freeing();
            return false;
        };
        let held = before + (to - from);
        self.reclassify(from, to);
        self.trimmer.grown(held);
        self.free_if_needed(held);
        true
    }

    #[inline]
    fn free_if_needed(&self, held: usize) {
        let max = self.max();
        if held > max - max / 8 {
            self.start_freeing();
        }
    }

    /// Counts a buffer that shrinks from `from` to `to` bytes.
    pub(in crate::server) fn shrink(&self, from: usize, to: usize) {
        let held = self.held.fetch_sub(from - to, Relaxed) - (from - to);
        self.reclassify(from, to);
        self.trimmer.shrunk(held);
    }

    fn reclassify(&self, from: usize, to: usize) {
        if class(from) == class(to) {
            return;
        }
        if let Some(class) = class(from) {
            self.buffers[class].fetch_sub(1, Relaxed);
        }
        if let Some(class) = class(to) {
            self.buffers[class].fetch_add(1, Relaxed);
        }
    }

    fn start_freeing(&self) {
        if !self.is_freeing.swap(true, Relaxed) {
            self.wake_workers();
        }
    }

    /// Wakes every worker, so that each looks whether it has the largest buffers.
    pub(in crate::server) fn wake_workers(&self) {
        for worker in &self.workers {
            worker.notify();
        }
    }

    /// Whether workers should free memory, and new connections should wait.
    pub(in crate::server) fn is_freeing(&self) -> bool {
        if !self.is_freeing.load(Relaxed) {
            return false;
        }
        let max = self.max();
        let is_freeing = self.held() > max - max / 4;
        if !is_freeing {
            self.is_freeing.store(false, Relaxed);
        }
        is_freeing
    }

    /// Whether a buffer of this size is as large as any other, within a factor of two.
    pub(in crate::server) fn is_among_the_largest(&self, bytes: usize) -> bool {
        let largest = self.buffers.iter().rposition(|buffers| buffers.load(Relaxed) > 0);
        class(bytes) >= largest
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn limited_to(max: usize) -> MemoryLimit {
        MemoryLimit::new(max, Vec::new())
    }

    #[test]
    fn the_limit_is_exact_however_many_threads_grow_buffers() {
        let limit = limited_to(1_000);
        let grown: usize = std::thread::scope(|scope| {
            let grow = || (0..1_000).filter(|_| limit.try_grow(0, 7)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(grow)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((grown, limit.held()), (142, 994));
        assert!(!limit.try_grow(0, 7) && limit.try_grow(7, 13));
    }

    #[test]
    fn memory_is_freed_from_seven_eighths_down_to_three_quarters() {
        let limit = limited_to(800);
        assert!(limit.try_grow(0, 700) && !limit.is_freeing());
        assert!(limit.try_grow(700, 701) && limit.is_freeing());
        limit.shrink(701, 601);
        assert!(limit.is_freeing());
        limit.shrink(601, 600);
        assert!(!limit.is_freeing());
        assert!(limit.try_grow(600, 650) && !limit.is_freeing());
    }

    #[test]
    fn a_limit_that_is_lowered_frees_memory_and_one_that_is_raised_does_not() {
        let limit = limited_to(800);
        assert!(limit.try_grow(0, 600) && !limit.is_freeing());
        limit.set_max(700);
        assert!(!limit.is_freeing());
        limit.set_max(600);
        assert!(limit.is_freeing() && !limit.try_grow(600, 601));
        limit.set_max(800);
        assert!(!limit.is_freeing() && limit.try_grow(600, 700) && !limit.is_freeing());
    }

    #[test]
    fn a_growth_beyond_the_largest_number_is_refused() {
        let limit = limited_to(usize::MAX);
        assert!(limit.try_grow(0, usize::MAX - 1));
        assert!(!limit.try_grow(0, 2));
        assert!(limit.try_grow(0, 1));
    }

    #[test]
    fn the_largest_buffers_are_those_of_the_highest_class() {
        let limit = limited_to(usize::MAX);
        assert!(limit.is_among_the_largest(0), "there is no buffer");
        for bytes in [100, 1_000, 5_000] {
            assert!(limit.try_grow(0, bytes));
        }
        assert_eq!(
            [0, 1_000, 4_095, 4_096, 5_000].map(|bytes| limit.is_among_the_largest(bytes)),
            [false, false, false, true, true]
        );
        limit.shrink(5_000, 0);
        assert!(limit.is_among_the_largest(1_000) && !limit.is_among_the_largest(100));
    }
}
