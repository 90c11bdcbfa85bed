//! A chunk: a range of bytes in memory of its own, in shared memory, or in a file.

use std::fmt;
use std::fs::File;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use super::spare;

/// Bytes that a buffer shares with their owner. They never change.
pub(super) type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Where the bytes of a chunk are.
pub(super) enum Storage {
    /// In memory of the chunk's own. What is behind the chunk's range is room for more.
    Owned(Box<[u8]>),
    /// In memory that others see, too.
    Shared(SharedBytes),
    /// In a file, whose bytes are not in memory.
    File(Arc<File>),
}

/// Bytes `start..end` of a storage. It is never empty inside a buffer.
pub(super) struct Chunk {
    storage: Storage,
    start: usize,
    end: usize,
}

impl Chunk {
    pub(super) fn new(storage: Storage, range: Range<usize>) -> Self {
        Self { storage, start: range.start, end: range.end }
    }

    /// A chunk in `memory` with a copy of `bytes`, and room behind them.
    pub(super) fn copy_of(bytes: &[u8], mut memory: Box<[u8]>) -> Self {
        memory[..bytes.len()].copy_from_slice(bytes);
        Self::new(Storage::Owned(memory), 0..bytes.len())
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Its bytes; `None` if they are in a file.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        let all = match &self.storage {
            Storage::Owned(memory) => memory,
            Storage::Shared(shared) => AsRef::<[u8]>::as_ref(&**shared),
            Storage::File(_) => return None,
        };
        Some(&all[self.start..self.end])
    }

    /// Its file and the range of it; `None` if the bytes are in memory.
    pub(super) fn file(&self) -> Option<(&Arc<File>, Range<usize>)> {
        match &self.storage {
            Storage::File(file) => Some((file, self.start..self.end)),
            _ => None,
        }
    }

    pub(super) fn is_owned(&self) -> bool {
        matches!(self.storage, Storage::Owned(_))
    }

    /// The size of its own memory.
    pub(super) fn memory(&self) -> usize {
        match &self.storage {
            Storage::Owned(memory) => memory.len(),
            _ => 0,
        }
    }

    /// The size of the memory that it keeps alive. Of shared memory only its own bytes count.
    #[cfg(feature = "server")]
    pub(super) fn held_memory(&self) -> usize {
        match &self.storage {
            Storage::Owned(memory) => memory.len(),
            Storage::Shared(_) => self.len(),
            Storage::File(_) => 0,
        }
    }

    /// The length of [`room`](Self::room).
    pub(super) fn room_len(&self) -> usize {
        self.memory().saturating_sub(self.end)
    }

    /// The memory behind its bytes, with any content.
    pub(super) fn room(&mut self) -> &mut [u8] {
        match &mut self.storage {
            Storage::Owned(memory) => &mut memory[self.end..],
            _ => &mut [],
        }
    }

    /// Adds the first `n` bytes of the room to the chunk.
    pub(super) fn extend(&mut self, n: usize) {
        self.end += n;
    }

    /// Copies as many of `bytes` as fit behind its own; returns how many.
    pub(super) fn append(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let n = bytes.len().min(room.len());
        room[..n].copy_from_slice(&bytes[..n]);
        self.end += n;
        n
    }

    /// Copies as many of `bytes`, from their end, as fit before its own; returns how many.
    pub(super) fn prepend(&mut self, bytes: &[u8]) -> usize {
        let Storage::Owned(memory) = &mut self.storage else { return 0 };
        let n = bytes.len().min(self.start);
        memory[self.start - n..self.start].copy_from_slice(&bytes[bytes.len() - n..]);
        self.start -= n;
        n
    }

    /// Removes the first `n` bytes.
    pub(super) fn skip(&mut self, n: usize) {
        self.start += n;
    }

    /// Removes the first `n` bytes, and returns a chunk of them that shares the storage.
    pub(super) fn split_front(&mut self, n: usize) -> Self {
        let mut front = self.share();
        front.end = front.start + n;
        self.skip(n);
        front
    }

    /// A chunk of the same bytes in the same storage. From now on both have no room.
    pub(super) fn share(&mut self) -> Self {
        let storage = match &mut self.storage {
            Storage::Owned(memory) => {
                let shared: SharedBytes = Arc::new(mem::take(memory));
                self.storage = Storage::Shared(Arc::clone(&shared));
                Storage::Shared(shared)
            }
            Storage::Shared(shared) => Storage::Shared(Arc::clone(shared)),
            Storage::File(file) => Storage::File(Arc::clone(file)),
        };
        Self::new(storage, self.start..self.end)
    }

    /// Ends it; memory of its own may become the thread's spare.
    pub(super) fn recycle(self) {
        if let Storage::Owned(memory) = self.storage {
            spare::give_back(memory);
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.storage {
            Storage::Owned(_) => "Owned",
            Storage::Shared(_) => "Shared",
            Storage::File(_) => "File",
        };
        write!(f, "{kind}({}..{})", self.start, self.end)
    }
}
