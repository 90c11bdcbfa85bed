//! The only folder with `unsafe`: thin wrappers over system calls.
//!
//! Each file offers one kernel facility. Results are `io::Result`, descriptors are `OwnedFd`.
//! No wrapper retries, logs or decides anything, save which of two calls a kernel knows.

#![expect(unsafe_code, reason = "system calls have no safe form in std")]

pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod fd;
pub(crate) mod socket;

/// The result of a system call, or the `io::Error` of `errno` if it is -1.
fn check<T: PartialEq + From<i8>>(result: T) -> std::io::Result<T> {
    if result == T::from(-1) { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
