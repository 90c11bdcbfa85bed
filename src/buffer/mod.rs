//! `Buffer`, a queue of bytes (libevent: evbuffer).
//!
//! Its bytes are in chunks: memory of its own, memory shared with others, and ranges of files. So
//! bytes go from buffer to buffer without being copied, and a file can be sent without being read.

mod changes;
mod chunk;
mod error;
mod files;
mod inspect;
mod memory;
mod queue;
mod reserve;
mod search;
mod spare;
mod std_traits;
mod streams;
mod transfer;

#[cfg(test)]
mod tests;

use std::fmt;

use chunk::{Chunk, Storage};
use queue::ChunkQueue;

pub use changes::Changes;
pub use error::BufferError;
pub use reserve::Reservation;
pub use search::Eol;

/// The longest range of bytes that is copied where it could be moved. A short copy is cheaper than
/// a chunk of its own, and wastes less memory.
const COPY_MAX: usize = 4 << 10;

/// A queue of bytes in chunks (libevent: `struct evbuffer`).
///
/// Bytes are appended at its end and removed from its front. All lengths and positions count bytes.
/// A new buffer, and one that has become empty, owns no memory. While it has bytes, its memory is
/// in chunks of 1 to 64 KiB, each twice as large as the one before. A larger append is one chunk.
///
/// ```
/// use std::io::Write;
/// use evshard::{Buffer, Eol};
///
/// let mut input = Buffer::new();
/// input.append(b"GET /index.html\r\nHost: example\r\n\r\npartial");
/// assert_eq!(input.read_line(Eol::CrLf).as_deref(), Some(&b"GET /index.html"[..]));
///
/// let mut output = Buffer::new();
/// write!(output, "{} bytes: ", input.len())?;
/// output.append_shared("shared with others, and not copied");
/// input.move_to(&mut output, 13);
///
/// # let (socket, mut peer) = std::os::unix::net::UnixStream::pair()?;
/// while !output.is_empty() {
///     output.write_to(&socket, 16 << 10)?;
/// }
/// # let mut sent = [0; 25];
/// # std::io::Read::read_exact(&mut peer, &mut sent)?;
/// # assert_eq!(&sent, b"24 bytes: shared with oth");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Files
///
/// A segment of a file (see [`append_file`](Self::append_file)) has a length, but its bytes are not
/// in memory. [`write_to`](Self::write_to) sends it. [`load`](Self::load) and the standard traits
/// read it. All other methods that look at bytes see only those before the first file segment.
///
/// # When a call fails
///
/// A method that returns an error has changed nothing, or its documentation says what. A method
/// that does part of its work returns how many bytes that were.
///
/// # Panics
///
/// A method that adds bytes panics, before it changes anything, if the length would not fit `usize`
/// (as `Vec` does). Only file segments are so long. The methods whose lengths come from outside
/// ([`reserve`](Self::reserve), [`append_with`](Self::append_with), `append_file`) return an error
/// instead.
///
/// # Changes
///
/// Nothing is called when a buffer changes. Its owner asks with
/// [`take_changes`](Self::take_changes) how many bytes were added and removed.
#[derive(Default)]
pub struct Buffer {
    chunks: ChunkQueue,
    len: usize,
    changes: Changes,
}

impl Buffer {
    /// An empty buffer (libevent: `evbuffer_new`). It allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        let changes = Changes { added: 0, removed: 0 };
        Self { chunks: ChunkQueue::new(), len: 0, changes }
    }

    /// How many bytes it has, file segments included (libevent: `evbuffer_get_length`).
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes added and removed since the last call (libevent: `evbuffer_add_cb`, whose callback
    /// gets the same counts).
    ///
    /// A move between buffers counts in both. Loading a file segment and pulling up count nothing.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Appends a copy of `bytes` (libevent: `evbuffer_add`).
    pub fn append(&mut self, bytes: &[u8]) {
        self.grow(bytes.len());
        self.copy_in(bytes);
    }

    /// Inserts a copy of `bytes` before all others (libevent: `evbuffer_prepend`).
    pub fn prepend(&mut self, bytes: &[u8]) {
        self.grow(bytes.len());
        let fitting = self.chunks.front_mut().map_or(0, |front| front.prepend(bytes));
        let rest = &bytes[..bytes.len() - fitting];
        if !rest.is_empty() {
            // They go to the end of the chunk, so that more can be prepended.
            let mut memory = spare::take(rest.len().max(spare::SMALL));
            let (end, start) = (memory.len(), memory.len() - rest.len());
            memory[start..].copy_from_slice(rest);
            self.chunks.push_front(Chunk::new(Storage::Owned(memory), start..end));
        }
    }

    /// Appends the bytes of `shared` without copying them (libevent: `evbuffer_add_reference`).
    ///
    /// `shared` may be an array, a `Vec`, a `String`, a `&'static str`, an `Arc` with a type of the
    /// caller's, and much else. It is dropped when the last buffer that has some of its bytes has
    /// removed them, as libevent then calls the cleanup function.
    ///
    /// # Panics
    ///
    /// Later methods panic if `shared` then returns fewer bytes than now.
    pub fn append_shared(&mut self, shared: impl AsRef<[u8]> + Send + Sync + 'static) {
        let len = shared.as_ref().len();
        self.grow(len);
        if len > 0 {
            let storage = Storage::Shared(std::sync::Arc::new(shared));
            self.chunks.push_back(Chunk::new(storage, 0..len));
        }
    }

    /// Removes up to `n` bytes from the front; returns how many (libevent: `evbuffer_drain`).
    pub fn drain(&mut self, n: usize) -> usize {
        let n = n.min(self.len);
        self.shrink(n);
        let mut left = n;
        while let Some(front) = self.chunks.front_mut()
            && left > 0
        {
            if left < front.len() {
                front.skip(left);
                break;
            }
            left -= front.len();
            self.chunks.recycle_front();
        }
        n
    }

    /// Removes up to `into.len()` bytes from the front and copies them to `into`; returns how many
    /// (libevent: `evbuffer_remove`).
    ///
    /// It stops before a file segment.
    pub fn remove(&mut self, into: &mut [u8]) -> usize {
        let n = self.copy_out(0, into);
        self.drain(n)
    }

    /// Counts `n` more bytes, which the caller then adds.
    fn grow(&mut self, n: usize) {
        self.len = self.len.checked_add(n).expect("the length of a buffer must fit usize");
        self.changes.added = self.changes.added.saturating_add(n as u64);
    }

    /// Counts `n` bytes less, which the caller then removes.
    fn shrink(&mut self, n: usize) {
        self.len -= n;
        self.changes.removed = self.changes.removed.saturating_add(n as u64);
    }

    /// Copies bytes that are counted already to the end.
    fn copy_in(&mut self, bytes: &[u8]) {
        let fitting = self.chunks.back_mut().map_or(0, |back| back.append(bytes));
        let rest = &bytes[fitting..];
        if !rest.is_empty() {
            let size = self.chunk_size(rest.len());
            self.chunks.push_back(if size == rest.len() {
                Chunk::new(Storage::Owned(rest.into()), 0..size)
            } else {
                Chunk::copy_of(rest, spare::take(size))
            });
        }
    }

    /// The size of a new last chunk for `n` bytes: twice the memory of the last one. So the number
    /// of chunks grows slowly.
    fn chunk_size(&self, n: usize) -> usize {
        let last = self.chunks.back().map_or(0, Chunk::memory);
        n.max(last.saturating_mul(2).clamp(spare::SMALL, spare::LARGE))
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chunks, len, changes } = self;
        f.debug_struct("Buffer")
            .field("len", len)
            .field("chunks", &chunks.iter().collect::<Vec<_>>())
            .field("changes", changes)
            .finish()
    }
}
