//! The standard traits. They also read file segments, since they can return errors.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use super::chunk::Chunk;
use super::{Buffer, spare};

/// Appends; never fails (libevent: `evbuffer_add_printf`). `write!` uses whichever `Write` is
/// imported: this one or that of `std::io`.
impl fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.append(text.as_bytes());
        Ok(())
    }
}

/// Appends; never fails.
impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let before = self.len;
        for slice in slices {
            self.append(slice);
        }
        Ok(self.len - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Removes; an empty buffer is the end of the stream. A file segment is loaded in parts.
impl Read for Buffer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !into.is_empty() {
            self.fill_buf()?;
        }
        Ok(self.remove(into))
    }
}

/// Its parts are the chunks. A file segment is loaded in parts of at most 64 KiB.
impl BufRead for Buffer {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Some(front) = self.chunks.front()
            && front.file().is_some()
        {
            self.load(front.len().min(spare::LARGE))?;
        }
        Ok(self.chunks.front().and_then(Chunk::bytes).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        self.drain(n);
    }
}
