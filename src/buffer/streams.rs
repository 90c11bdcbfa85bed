//! Reading from and writing to sockets, pipes and other streams, one system call a time.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};

use super::chunk::Chunk;
use super::files::send_segment;
use super::{Buffer, spare};
use crate::sys::stream;

/// The last chunk takes part of a read if it has room for so much. Below it, a copy costs less than
/// a vector with one slice more.
const READ_INTO_LAST_MIN: usize = spare::SMALL;

/// A read of at least so many bytes keeps the chunk that it filled. Fewer are copied, so that a
/// large chunk is never kept for them.
const KEEP_MIN: usize = spare::LARGE / 4;

/// How many slices one write takes at most. More save no system calls that count.
const WRITE_SLICES_MAX: usize = 64;

impl Buffer {
    /// Appends up to `max` bytes that it reads from `fd` by one system call; returns how many
    /// (libevent: `evbuffer_read`). 0 is the end of the stream, unless `max` is 0.
    ///
    /// One call reads at most 64 KiB and the room of the last chunk. It asks for no `FIONREAD`.
    ///
    /// # Errors
    ///
    /// Those of `readv(2)`: `WouldBlock` if nothing is there, `Interrupted` by a signal, and all
    /// others, such as `ConnectionReset`. Nothing is appended then.
    ///
    /// # Panics
    ///
    /// If the length would not fit `usize`.
    pub fn read_from(&mut self, fd: &impl AsFd, max: usize) -> io::Result<usize> {
        if max == 0 {
            return Ok(0);
        }
        let fd = fd.as_fd();
        let room = self.chunks.back_mut().map(Chunk::room).unwrap_or_default();
        let in_last = max.min(if room.len() < READ_INTO_LAST_MIN { 0 } else { room.len() });
        let last = &mut room[..in_last];
        if in_last == max {
            let n = stream::read(fd, last)?;
            self.commit_room(n);
            return Ok(n);
        }
        let mut large = spare::take(spare::LARGE);
        let in_large = large.len().min(max - in_last);
        let space = &mut large[..in_large];
        let result = if last.is_empty() {
            stream::read(fd, space)
        } else {
            stream::readv(fd, &mut [IoSliceMut::new(last), IoSliceMut::new(space)])
        };
        let n = *result.as_ref().unwrap_or(&0);
        self.commit_room(n.min(in_last));
        let n_large = n.saturating_sub(in_last);
        if n_large >= KEEP_MIN {
            self.add_chunk(large, n_large);
        } else {
            self.append(&large[..n_large]);
            spare::give_back(large);
        }
        result
    }

    /// Writes up to `max` bytes to `fd` by one system call, and removes what was written; returns
    /// how many (libevent: `evbuffer_write_atmost`).
    ///
    /// It may write less than `fd` takes, since one call sends memory or a segment of a file. So
    /// call it until the buffer is empty or the error is `WouldBlock`. 0 means only that the buffer
    /// is empty or `max` is 0. As `write(2)`, a socket or pipe whose reader is gone raises
    /// `SIGPIPE`, which Rust programs ignore by default.
    ///
    /// # Errors
    ///
    /// Those of `writev(2)` and `sendfile(2)`: `WouldBlock`, `Interrupted`, `BrokenPipe`,
    /// `ConnectionReset` and others; `UnexpectedEof` if a file was truncated. Nothing is removed
    /// then.
    pub fn write_to(&mut self, fd: &impl AsFd, max: usize) -> io::Result<usize> {
        let max = max.min(self.len);
        if max == 0 {
            return Ok(0);
        }
        let fd = fd.as_fd();
        let n = match self.chunks.front().and_then(Chunk::file) {
            Some((file, range)) => send_segment(fd, file, range, max)?,
            None => self.write_memory(fd, max)?,
        };
        self.drain(n);
        Ok(n)
    }

    /// Writes from the bytes before the first file segment.
    fn write_memory(&self, fd: BorrowedFd<'_>, max: usize) -> io::Result<usize> {
        let first = self.chunks.front().and_then(Chunk::bytes).unwrap_or_default();
        if let Some(bytes) = first.get(..max) {
            return stream::write(fd, bytes);
        }
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let mut count = 0;
        for (slot, bytes) in slices.iter_mut().zip(self.slices((0, max))) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        stream::writev(fd, &slices[..count])
    }

    /// Adds `n` bytes that were written to the room of the last chunk.
    fn commit_room(&mut self, n: usize) {
        if let Some(back) = self.chunks.back_mut() {
            back.extend(n);
            self.grow(n);
        }
    }
}
