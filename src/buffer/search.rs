//! Finding bytes and ends of lines, also where they cross chunks.

use std::ops::{Range, RangeBounds};

use super::Buffer;
use super::chunk::Chunk;
use super::inspect::start_and_end;
use crate::sys::memory::find_byte;

/// What ends a line (libevent: `enum evbuffer_eol_style`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Eol {
    /// Any number of CR and LF, in any order.
    Any,
    /// LF, with or without one CR before it.
    CrLf,
    /// CR and LF.
    CrLfStrict,
    /// LF.
    Lf,
    /// A zero byte.
    Nul,
}

impl Buffer {
    /// The position of the first `needle` that lies within `range` (libevent:
    /// `evbuffer_search_range`). An empty needle is never found.
    ///
    /// It takes time proportional to the searched length times that of the needle, at worst.
    #[must_use]
    pub fn find(&self, needle: &[u8], range: impl RangeBounds<usize>) -> Option<usize> {
        let (start, end) = start_and_end(&range);
        let (first, others) = needle.split_first()?;
        let last_start = end.min(self.len).checked_sub(needle.len())?;
        let mut chunks = self.chunks.iter();
        let mut chunk_start = 0;
        while let Some(bytes) = chunks.next().and_then(Chunk::bytes) {
            let mut from = start.saturating_sub(chunk_start);
            while let Some(at) = bytes.get(from..).and_then(|bytes| find_byte(*first, bytes)) {
                let found = chunk_start + from + at;
                if found > last_start {
                    return None;
                }
                from += at + 1;
                if continues_with(&bytes[from..], chunks.clone(), others) {
                    return Some(found);
                }
            }
            chunk_start += bytes.len();
            if chunk_start > last_start {
                return None;
            }
        }
        None
    }

    /// Where the first line that starts at `from` ends, and where the next one starts (libevent:
    /// `evbuffer_search_eol`).
    ///
    /// ```
    /// let mut buffer = evshard::Buffer::new();
    /// buffer.append(b"one\r\ntwo");
    /// assert_eq!(buffer.find_eol(evshard::Eol::CrLf, 0), Some(3..5));
    /// ```
    #[must_use]
    pub fn find_eol(&self, eol: Eol, from: usize) -> Option<Range<usize>> {
        let of_one = |byte: u8| self.find(&[byte], from..).map(|at| at..at + 1);
        match eol {
            Eol::Lf => of_one(b'\n'),
            Eol::Nul => of_one(0),
            Eol::CrLfStrict => self.find(b"\r\n", from..).map(|at| at..at + 2),
            Eol::CrLf => {
                let Range { start: lf, end } = of_one(b'\n')?;
                let has_cr = lf > from && self.byte_at(lf - 1) == Some(b'\r');
                Some(lf - usize::from(has_cr)..end)
            }
            Eol::Any => {
                let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
                let start = self.position(from, is_end)?;
                let end = self.position(start, |byte| !is_end(byte));
                Some(start..end.unwrap_or_else(|| self.len_in_memory()))
            }
        }
    }

    /// Removes the first line and its end; returns the line without its end (libevent:
    /// `evbuffer_readln`). `None`, without a change, if the end is not there yet.
    ///
    /// Each call searches from the front. Compare [`len`](Self::len) with the longest line that you
    /// allow, or a peer that never ends its line uses your memory and your time.
    #[must_use = "the line is removed"]
    pub fn read_line(&mut self, eol: Eol) -> Option<Vec<u8>> {
        let end = self.find_eol(eol, 0)?;
        let mut line = Vec::with_capacity(end.start);
        for bytes in self.slices((0, end.start)) {
            line.extend_from_slice(bytes);
        }
        self.drain(end.end);
        Some(line)
    }

    /// The position of the first byte from `from` on that is `wanted`.
    fn position(&self, from: usize, wanted: impl Fn(&u8) -> bool) -> Option<usize> {
        let mut at = from;
        for bytes in self.slices((from, usize::MAX)) {
            if let Some(index) = bytes.iter().position(&wanted) {
                return Some(at + index);
            }
            at += bytes.len();
        }
        None
    }

    fn byte_at(&self, at: usize) -> Option<u8> {
        self.slices((at, at + 1)).next()?.first().copied()
    }

    /// How many bytes are before the first file segment.
    pub(super) fn len_in_memory(&self) -> usize {
        self.slices((0, usize::MAX)).map(<[u8]>::len).sum()
    }
}

/// Whether `bytes` and the chunks behind them begin with `needle`.
fn continues_with<'a>(
    mut bytes: &'a [u8],
    mut next: impl Iterator<Item = &'a Chunk>,
    mut needle: &[u8],
) -> bool {
    loop {
        let n = needle.len().min(bytes.len());
        if bytes[..n] != needle[..n] {
            return false;
        }
        needle = &needle[n..];
        if needle.is_empty() {
            return true;
        }
        let Some(more) = next.next().and_then(Chunk::bytes) else { return false };
        bytes = more;
    }
}
