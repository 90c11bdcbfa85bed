//! Numbers that one thread writes and others read.
//!
//! Each number is true by itself, and nothing follows from two of them. So no order is needed
//! between them, no reader waits, and the writer needs no locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread at a time changes: the one that runs the loop.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn add(&self, by: u64) {
        self.set(self.get() + by);
    }

    #[inline]
    pub(crate) fn raise_to(&self, value: u64) {
        if value > self.get() {
            self.set(value);
        }
    }

    /// Adds one, from any thread.
    pub(crate) fn add_shared(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
