//! Looking at bytes without removing them.

use std::io::IoSlice;
use std::mem;
use std::ops::{Bound, RangeBounds};

use super::chunk::{Chunk, Storage};
use super::{Buffer, spare};

impl Buffer {
    /// The bytes of a range, as slices in order (libevent: `evbuffer_peek`).
    ///
    /// A slice is never empty. They end before a file segment, at the end of the buffer, or at the
    /// end of the range, whichever is first. An `IoSlice` derefs to its bytes.
    ///
    /// ```
    /// let mut buffer = evshard::Buffer::new();
    /// buffer.append(b"hello ");
    /// buffer.append_shared("world");
    /// assert_eq!(buffer.peek(..).map(|slice| slice.len()).collect::<Vec<_>>(), [6, 5]);
    /// assert_eq!(buffer.peek(4..8).next().as_deref(), Some(&b"o "[..]));
    /// ```
    pub fn peek(&self, range: impl RangeBounds<usize>) -> impl Iterator<Item = IoSlice<'_>> {
        self.slices(start_and_end(&range)).map(IoSlice::new)
    }

    /// Copies bytes from the position `from` on to `into`; returns how many (libevent:
    /// `evbuffer_copyout_from`).
    ///
    /// It stops before a file segment.
    #[must_use = "fewer bytes may be copied than `into` has room for"]
    pub fn copy_out(&self, from: usize, into: &mut [u8]) -> usize {
        let mut copied = 0;
        for bytes in self.slices((from, from.saturating_add(into.len()))) {
            into[copied..copied + bytes.len()].copy_from_slice(bytes);
            copied += bytes.len();
        }
        copied
    }

    /// Makes the first `n` bytes contiguous and returns them (libevent: `evbuffer_pullup`).
    ///
    /// `None`, without a change, if the buffer is shorter or a file segment is among them.
    pub fn pull_up(&mut self, n: usize) -> Option<&[u8]> {
        let first = self.chunks.front().and_then(Chunk::bytes).unwrap_or_default();
        if first.len() < n {
            self.gather(n)?;
        }
        let first = self.chunks.front().and_then(Chunk::bytes).unwrap_or_default();
        first.get(..n)
    }

    /// Copies the first `n` bytes into one chunk, which is the first if that has room for them.
    /// `None`, without a change, if `n` bytes are not in memory.
    fn gather(&mut self, n: usize) -> Option<()> {
        let in_memory: usize = self.slices((0, n)).map(<[u8]>::len).sum();
        if in_memory < n {
            return None;
        }
        let mut gathered = self.chunks.pop_front()?;
        if gathered.room().len() < n - gathered.len() {
            // With room for as many again, so that pulling up a little more each time stays cheap.
            let memory = spare::take(n.saturating_mul(2).max(spare::SMALL));
            let first = mem::replace(&mut gathered, Chunk::new(Storage::Owned(memory), 0..0));
            gathered.append(first.bytes()?);
            first.recycle();
        }
        while gathered.len() < n {
            let next = self.chunks.front_mut()?;
            let bytes = next.bytes()?;
            let missing = bytes.len().min(n - gathered.len());
            gathered.append(&bytes[..missing]);
            if missing < next.len() {
                next.skip(missing);
            } else {
                self.chunks.recycle_front();
            }
        }
        self.chunks.push_front(gathered);
        Some(())
    }

    /// The bytes of a range that are in memory before the first file segment.
    pub(super) fn slices(&self, (start, end): (usize, usize)) -> impl Iterator<Item = &[u8]> {
        let mut chunks = self.chunks.iter();
        let mut position = 0;
        std::iter::from_fn(move || {
            while position < end {
                let bytes = chunks.next()?.bytes()?;
                let of_chunk = |at: usize| at.saturating_sub(position).min(bytes.len());
                let (first, last) = (of_chunk(start), of_chunk(end));
                position += bytes.len();
                if first < last {
                    return Some(&bytes[first..last]);
                }
            }
            None
        })
    }
}

/// The first position of a range, and the one after its last.
pub(super) fn start_and_end(range: &impl RangeBounds<usize>) -> (usize, usize) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => usize::MAX,
    };
    (start, end)
}
