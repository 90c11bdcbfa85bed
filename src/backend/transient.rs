//! Which errors of a wait are transient, on every backend.

use std::io;

/// Whether a wait that failed with this error may succeed when it is made again: a signal
/// interrupted it (`EINTR`), the kernel has no memory for it now (`ENOMEM`, `EAGAIN`), or a ring's
/// completion queue is full (`EBUSY`). Every other error lasts.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::ENOMEM | libc::EBUSY))
}
