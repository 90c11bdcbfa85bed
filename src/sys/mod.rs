//! The only folder with `unsafe`: thin wrappers over system calls.
//!
//! Each file offers one kernel facility. Results are `io::Result`, descriptors are `OwnedFd`,
//! no wrapper retries, logs or decides anything.

#![expect(unsafe_code, reason = "system calls have no safe form in std")]

pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod fd;
pub(crate) mod socket;

/// Calls a libc function and turns -1 into the `io::Error` of `errno`.
///
/// The caller states in a `SAFETY` comment why the arguments are valid.
macro_rules! syscall {
    ($name:ident ( $($arg:expr),* $(,)? )) => {{
        let result = unsafe { libc::$name($($arg),*) };
        if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
    }};
}
pub(crate) use syscall;
