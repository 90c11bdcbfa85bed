//! The queue of a buffer's chunks.
//!
//! The first chunk is stored in place. Most buffers have no other, and then the queue allocates
//! nothing.

use std::collections::VecDeque;

use super::chunk::Chunk;
use super::error::BufferError;

/// Chunks, first to last. `others` is empty if there is no first.
#[derive(Debug, Default)]
pub(super) struct ChunkQueue {
    first: Option<Chunk>,
    others: VecDeque<Chunk>,
}

impl ChunkQueue {
    pub(super) const fn new() -> Self {
        Self { first: None, others: VecDeque::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Chunk> + Clone {
        self.first.iter().chain(&self.others)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Chunk> {
        self.first.iter_mut().chain(&mut self.others)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn front(&self) -> Option<&Chunk> {
        self.first.as_ref()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Chunk> {
        self.first.as_mut()
    }

    pub(super) fn back(&self) -> Option<&Chunk> {
        self.others.back().or(self.first.as_ref())
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut Chunk> {
        self.others.back_mut().or(self.first.as_mut())
    }

    pub(super) fn push_front(&mut self, chunk: Chunk) {
        if let Some(second) = self.first.replace(chunk) {
            self.others.push_front(second);
        }
    }

    /// Makes sure that one more chunk at the end needs no memory.
    ///
    /// # Errors
    ///
    /// If the allocator has none.
    pub(super) fn try_reserve_one(&mut self) -> Result<(), BufferError> {
        if self.first.is_none() {
            return Ok(());
        }
        let out_of_memory = |_| BufferError::OutOfMemory { bytes: size_of::<Chunk>() };
        self.others.try_reserve(1).map_err(out_of_memory)
    }

    pub(super) fn push_back(&mut self, chunk: Chunk) {
        if self.first.is_none() {
            self.first = Some(chunk);
        } else {
            self.others.push_back(chunk);
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Chunk> {
        let chunk = self.first.take();
        // Both are rare, and freeing what has no memory is not free either.
        if !self.others.is_empty() {
            self.first = self.others.pop_front();
        } else if self.others.capacity() > 0 {
            self.others = VecDeque::new();
        }
        chunk
    }

    /// Removes the first chunk, whose bytes no one needs.
    pub(super) fn recycle_front(&mut self) {
        if let Some(chunk) = self.pop_front() {
            chunk.recycle();
        }
    }
}

#[cfg(test)]
impl ChunkQueue {
    /// Panics unless an empty queue owns no memory, and only one with others has memory for them.
    pub(super) fn check(&self) {
        assert!(self.first.is_some() || self.others.is_empty(), "a second chunk without a first");
        assert!(self.first.is_some() || self.others.capacity() == 0, "an empty queue owns memory");
    }
}
