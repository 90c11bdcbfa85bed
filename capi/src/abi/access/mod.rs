//! Access to what belongs to the program: its structures, its functions, its locks.

pub(crate) mod base_ptr;
pub(crate) mod call;
pub(crate) mod event_ptr;
pub(crate) mod layout;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod memory;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod stock;
pub(crate) mod thread_id;

/// Whether the descriptor is open and blocks.
pub(crate) fn is_blocking(fd: std::ffi::c_int) -> bool {
    // SAFETY: F_GETFL only reads the descriptor's flags.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK == 0
}

/// Whether the program runs with more rights than its caller has. It then ignores the environment.
pub(crate) fn is_privileged_for_caller() -> bool {
    // Miri does not have this function.
    if cfg!(miri) {
        return false;
    }
    // SAFETY: it takes no pointer and cannot fail.
    let is_secure = unsafe { libc::getauxval(libc::AT_SECURE) };
    is_secure != 0
}

/// Sets the calling thread's `errno`.
pub(crate) fn set_errno(code: std::ffi::c_int) {
    // SAFETY: it returns a pointer to the calling thread's own variable.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above, the pointer is valid.
    unsafe { *errno = code }
}
