//! Segments of files: they are sent without being read, or loaded into memory.

use std::fs::File;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::chunk::{Chunk, Storage};
use super::error::BufferError;
use super::{Buffer, spare};
use crate::sys::stream;

impl Buffer {
    /// Appends a range of a file, without reading it (libevent: `evbuffer_add_file`,
    /// `evbuffer_file_segment_new`).
    ///
    /// `file` is a `File` or an `Arc<File>`, which may be in many buffers. It is closed when the
    /// last of them has removed its bytes. Its read and write position is neither used nor changed.
    /// It must stay as long as it is: if it is truncated, `write_to` and `load` fail where it ends.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the range is none of a file or makes the buffer too long, `UnexpectedEof`
    /// if a regular file is shorter, and those of `fstat(2)`.
    pub fn append_file(&mut self, file: impl Into<Arc<File>>, range: Range<u64>) -> io::Result<()> {
        let (file, Range { start, end }) = (file.into(), range);
        if start > end || i64::try_from(end).is_err() {
            return Err(BufferError::NotARange { start, end }.into());
        }
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.len() < end {
            return Err(BufferError::FileTooShort { at: metadata.len(), end }.into());
        }
        // On the 64-bit systems that evshard is for, both fit.
        let range = start as usize..end as usize;
        self.expect_room(range.len())?;
        self.grow(range.len());
        if !range.is_empty() {
            self.chunks.push_back(Chunk::new(Storage::File(file), range));
        }
        Ok(())
    }

    /// Reads file segments so that the first `n` bytes are in memory; returns how many of them now
    /// are, which is fewer if the buffer is shorter.
    ///
    /// It blocks as long as the file system takes.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if a file has been truncated, `OutOfMemory`, and those of `pread(2)`. The
    /// buffer has the same bytes as before. Segments before the one that failed are in memory.
    pub fn load(&mut self, n: usize) -> io::Result<usize> {
        let mut loaded = Vec::new();
        let mut position = 0;
        let mut result = Ok(());
        while position < n
            && let Some(mut chunk) = self.chunks.pop_front()
        {
            if chunk.file().is_some() && chunk.len() > n - position {
                let front = chunk.split_front(n - position);
                self.chunks.push_front(mem::replace(&mut chunk, front));
            }
            match chunk.file().map(|(file, range)| read_segment(file, range)).transpose() {
                Ok(in_memory) => chunk = in_memory.unwrap_or(chunk),
                Err(error) => {
                    result = Err(error);
                    self.chunks.push_front(chunk);
                    break;
                }
            }
            position += chunk.len();
            loaded.push(chunk);
        }
        for chunk in loaded.into_iter().rev() {
            self.chunks.push_front(chunk);
        }
        result.map(|()| position.min(n))
    }
}

/// Sends up to `max` bytes of a range of a file; returns how many.
pub(super) fn send_segment(
    fd: BorrowedFd<'_>,
    file: &File,
    range: Range<usize>,
    max: usize,
) -> io::Result<usize> {
    let n = max.min(range.len());
    let sent = match stream::send_file(fd, file, range.start, n) {
        Err(error) if is_unsupported(&error) => copy_segment(fd, file, range.start, n),
        sent => sent,
    }?;
    if sent == 0 {
        let (at, end) = (range.start as u64, range.end as u64);
        return Err(BufferError::FileTooShort { at, end }.into());
    }
    Ok(sent)
}

/// Whether `sendfile(2)` cannot be used between these two: neither a socket nor a file may refuse
/// to be read or written one byte after the other.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP))
}

/// Reads a part of a file and writes it; returns how much was written, 0 at the end of the file.
fn copy_segment(fd: BorrowedFd<'_>, file: &File, start: usize, n: usize) -> io::Result<usize> {
    let mut memory = spare::take(spare::LARGE);
    let n = n.min(memory.len());
    let copied = match file.read_at(&mut memory[..n], start as u64) {
        Ok(n) if n > 0 => stream::write(fd, &memory[..n]),
        end_or_error => end_or_error,
    };
    spare::give_back(memory);
    copied
}

/// Reads a range of a file into memory.
fn read_segment(file: &File, range: Range<usize>) -> io::Result<Chunk> {
    let mut memory = spare::try_take(range.len())?;
    let mut filled = 0;
    while filled < range.len() {
        let (at, end) = ((range.start + filled) as u64, range.end as u64);
        match file.read_at(&mut memory[filled..], at) {
            Ok(0) => return Err(BufferError::FileTooShort { at, end }.into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Chunk::new(Storage::Owned(memory), 0..filled))
}
