//! Memory of one buffer, as it counts against the limit.

use std::convert::Infallible;
use std::sync::Arc;

use super::limit::MemoryLimit;

/// The memory limit is reached, or the system has no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct NoMemory;

/// How much memory one buffer has. It counts against the limit until this is dropped, so the buffer
/// must be dropped before it: it is declared before this.
#[derive(Debug)]
pub(in crate::server) struct CountedMemory {
    bytes: usize,
    limit: Arc<MemoryLimit>,
}

impl CountedMemory {
    /// None yet.
    pub(in crate::server) fn new(limit: &Arc<MemoryLimit>) -> Self {
        Self { bytes: 0, limit: limit.clone() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts so many bytes in all, and then lets `allocate` take them. If the limit does not allow
    /// them, or that fails, nothing changes.
    pub(super) fn grow_to<E>(
        &mut self,
        bytes: usize,
        allocate: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), NoMemory> {
        if !self.limit.try_grow(self.bytes, bytes) {
            return Err(NoMemory);
        }
        if allocate().is_err() {
            self.limit.shrink(bytes, self.bytes);
            return Err(NoMemory);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Counts so many bytes in all, which are there already. If the limit does not allow them, they
    /// must be freed.
    pub(in crate::server) fn set(&mut self, bytes: usize) -> Result<(), NoMemory> {
        if bytes > self.bytes {
            return self.grow_to(bytes, || Ok::<(), Infallible>(()));
        }
        self.shrink_to(bytes);
        Ok(())
    }

    /// Counts so many bytes in all, after the others were freed.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.limit.shrink(self.bytes, bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for CountedMemory {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}
