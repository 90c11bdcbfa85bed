//! Space at the end that its user fills: reserve, write, commit.

use std::fmt;
use std::io::IoSliceMut;
use std::mem;

use super::chunk::{Chunk, Storage};
use super::error::BufferError;
use super::{Buffer, spare};

impl Buffer {
    /// Reserves space for `n` bytes at the end (libevent: `evbuffer_reserve_space`), in one or two
    /// slices. Nothing is added before [`Reservation::commit`].
    ///
    /// ```
    /// # use std::io::Read;
    /// # let mut socket = &b"hello"[..];
    /// let mut buffer = evshard::Buffer::new();
    /// let mut space = buffer.reserve(4096)?;
    /// let n = socket.read_vectored(&mut space.slices())?;
    /// space.commit(n)?;
    /// # assert_eq!(buffer.len(), 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the length would not fit `usize`, or there is no memory.
    pub fn reserve(&mut self, n: usize) -> Result<Reservation<'_>, BufferError> {
        self.expect_room(n)?;
        let in_last = self.chunks.back_mut().map_or(0, |back| back.room().len()).min(n);
        let in_new = n - in_last;
        let mut new = Box::default();
        if in_new > 0 {
            new = spare::try_take(self.chunk_size(in_new))?;
            new[..in_new].fill(0);
        }
        if let Some(back) = self.chunks.back_mut() {
            back.room()[..in_last].fill(0);
        }
        Ok(Reservation { buffer: self, in_last, new, in_new })
    }

    /// Has `write` fill contiguous space of `n` bytes at the end, and adds as many bytes as it
    /// returns (libevent: `evbuffer_reserve_space` with one vector, and `evbuffer_commit_space`).
    /// The bytes are zeros before.
    ///
    /// # Errors
    ///
    /// As of [`reserve`](Self::reserve), and if `write` returns more than `n`. Nothing is added
    /// then.
    pub fn append_with(
        &mut self,
        n: usize,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<usize, BufferError> {
        self.expect_room(n)?;
        let write = |space: &mut [u8]| {
            space.fill(0);
            let written = write(space);
            expect_reserved(written, n).map(|()| written)
        };
        if let Some(back) = self.chunks.back_mut()
            && let Some(space) = back.room().get_mut(..n)
        {
            let written = write(space)?;
            back.extend(written);
            self.grow(written);
            return Ok(written);
        }
        let mut memory = spare::try_take(self.chunk_size(n))?;
        let written = write(&mut memory[..n])?;
        self.add_chunk(memory, written);
        Ok(written)
    }

    /// Fails if `n` more bytes would not fit `usize`.
    pub(super) fn expect_room(&self, n: usize) -> Result<(), BufferError> {
        let too_long = BufferError::TooLong { length: self.len, more: n };
        self.len.checked_add(n).map(drop).ok_or(too_long)
    }

    /// Adds the first `n` bytes of `memory`.
    pub(super) fn add_chunk(&mut self, memory: Box<[u8]>, n: usize) {
        if n == 0 {
            spare::give_back(memory);
            return;
        }
        self.grow(n);
        self.chunks.push_back(Chunk::new(Storage::Owned(memory), 0..n));
    }
}

/// Space at the end of a [`Buffer`]; see [`Buffer::reserve`]. Dropping it adds nothing.
#[must_use = "a reservation adds nothing until it is committed"]
pub struct Reservation<'a> {
    buffer: &'a mut Buffer,
    /// How many bytes are in the last chunk's room. The others are in `new`.
    in_last: usize,
    new: Box<[u8]>,
    in_new: usize,
}

impl Reservation<'_> {
    /// The space, to be filled in order. The second slice is often empty. All bytes are zeros until
    /// they are written.
    pub fn slices(&mut self) -> [IoSliceMut<'_>; 2] {
        let room = self.buffer.chunks.back_mut().map(Chunk::room).unwrap_or_default();
        let (last, new) = (&mut room[..self.in_last], &mut self.new[..self.in_new]);
        // The first is the one to write to.
        let (first, second) = if last.is_empty() { (new, last) } else { (last, new) };
        [IoSliceMut::new(first), IoSliceMut::new(second)]
    }

    /// Adds the first `n` bytes of the space to the buffer (libevent: `evbuffer_commit_space`).
    ///
    /// # Errors
    ///
    /// If `n` is more than was reserved. Nothing is added then.
    pub fn commit(mut self, n: usize) -> Result<(), BufferError> {
        expect_reserved(n, self.in_last + self.in_new)?;
        let in_last = n.min(self.in_last);
        if let Some(back) = self.buffer.chunks.back_mut() {
            back.extend(in_last);
        }
        self.buffer.grow(in_last);
        self.buffer.add_chunk(mem::take(&mut self.new), n - in_last);
        Ok(())
    }
}

impl fmt::Debug for Reservation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reservation({} bytes)", self.in_last + self.in_new)
    }
}

/// Fails if more bytes are committed than were reserved.
fn expect_reserved(committed: usize, reserved: usize) -> Result<(), BufferError> {
    if committed > reserved {
        return Err(BufferError::NotReserved { committed, reserved });
    }
    Ok(())
}
