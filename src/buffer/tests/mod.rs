//! The structure of a buffer: its invariants after random operations, and the memory it holds.

mod memory;
mod model;

use super::chunk::Chunk;
use super::{Buffer, Eol, spare};

impl Buffer {
    /// Panics unless the structure is as it must be between two calls.
    fn check(&self) {
        assert!(self.chunks.iter().all(|chunk| chunk.len() > 0), "an empty chunk: {self:?}");
        assert_eq!(self.chunks.iter().map(Chunk::len).sum::<usize>(), self.len, "{self:?}");
        self.chunks.check();
    }

    /// All bytes that are in memory.
    fn to_vec(&self) -> Vec<u8> {
        self.slices((0, usize::MAX)).collect::<Vec<_>>().concat()
    }
}
