//! `read(2)` and `write(2)` with their vectored forms, and `sendfile(2)`, on descriptors that the
//! caller does not own as a `File` or a socket.
//!
//! The kernel may read or write less than the slices hold; each call returns how much.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// `read(2)`; 0 at the end of the stream.
pub(crate) fn read(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the slice lives across the call, which writes no more than its length.
    let n = check(unsafe { libc::read(fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len()) })?;
    Ok(n as usize)
}

/// `readv(2)`, which fills the slices in order; 0 at the end of the stream.
pub(crate) fn readv(fd: BorrowedFd<'_>, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let count = into.len() as libc::c_int;
    // SAFETY: an IoSliceMut is an iovec; all of them and their bytes live across the call.
    let n = check(unsafe { libc::readv(fd.as_raw_fd(), into.as_mut_ptr().cast(), count) })?;
    Ok(n as usize)
}

/// `write(2)`.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the slice lives across the call, which only reads it.
    let n = check(unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })?;
    Ok(n as usize)
}

/// `writev(2)`, at most 1,024 slices (`IOV_MAX`).
pub(crate) fn writev(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let count = slices.len() as libc::c_int;
    // SAFETY: an IoSlice is an iovec; all of them and their bytes live across the call.
    let n = check(unsafe { libc::writev(fd.as_raw_fd(), slices.as_ptr().cast(), count) })?;
    Ok(n as usize)
}

/// `sendfile(2)` from a byte of the file on, without moving the file's own position; 0 if the file
/// ends there. `start` must be at most `i64::MAX`.
pub(crate) fn send_file(
    fd: BorrowedFd<'_>,
    file: &File,
    start: usize,
    count: usize,
) -> io::Result<usize> {
    let mut offset = start as libc::off_t;
    // SAFETY: the offset lives across the call, which reads and writes it.
    let n =
        check(unsafe { libc::sendfile(fd.as_raw_fd(), file.as_raw_fd(), &raw mut offset, count) })?;
    Ok(n as usize)
}
