//! The memory of a buffer, for owners who count and bound it.

use super::chunk::Chunk;
use super::error::BufferError;
use super::{Buffer, spare};

impl Buffer {
    /// How much memory it owns, in bytes. What it shares, and files, are not its own.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.chunks.iter().map(Chunk::memory).sum()
    }

    /// How many bytes of memory it keeps alive: its own, and what it shares with others. Files are
    /// not in memory.
    #[cfg(feature = "server")]
    pub(crate) fn held_memory(&self) -> usize {
        self.chunks.iter().map(Chunk::held_memory).sum()
    }

    /// How many of its bytes are in files.
    #[cfg(feature = "server")]
    pub(crate) fn file_bytes(&self) -> usize {
        self.chunks.iter().filter(|chunk| chunk.file().is_some()).map(Chunk::len).sum()
    }

    /// By how much an append of `n` bytes would increase [`memory`](Self::memory).
    #[must_use]
    pub fn growth(&self, n: usize) -> usize {
        let room = self.chunks.back().map_or(0, Chunk::room_len);
        if n <= room { 0 } else { self.chunk_size(n - room) }
    }

    /// Appends a copy of `bytes`, as [`append`](Self::append), but fails where that would end the
    /// process.
    ///
    /// ```
    /// let (mut buffer, limit) = (evshard::Buffer::new(), 4096);
    /// let mut append = |bytes: &[u8]| {
    ///     let fits = buffer.memory() + buffer.growth(bytes.len()) <= limit;
    ///     fits && buffer.try_append(bytes).is_ok()
    /// };
    /// assert!(append(&[0; 3000]) && !append(&[0; 3000]));
    /// ```
    ///
    /// # Errors
    ///
    /// If the length would not fit `usize`, or there is no memory. Nothing is appended then.
    pub fn try_append(&mut self, bytes: &[u8]) -> Result<(), BufferError> {
        self.expect_room(bytes.len())?;
        let growth = self.growth(bytes.len());
        if growth > 0 {
            self.chunks.try_reserve_one()?;
            let memory = spare::try_take(growth)?;
            let fitting = self.chunks.back_mut().map_or(0, |back| back.append(bytes));
            self.chunks.push_back(Chunk::copy_of(&bytes[fitting..], memory));
        } else if let Some(back) = self.chunks.back_mut() {
            back.append(bytes);
        }
        self.grow(bytes.len());
        Ok(())
    }
}
