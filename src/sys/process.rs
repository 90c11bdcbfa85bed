//! Facts about this process, and forks for tests.

/// Whether it runs with more rights than the user that started it, as set-uid programs do
/// (`getauxval(3)`, `AT_SECURE`). Then its environment cannot be trusted.
pub(crate) fn is_privileged_for_caller() -> bool {
    // Miri does not have this function.
    if cfg!(miri) {
        return false;
    }
    // SAFETY: takes no pointer.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Forks; 0 in the child, which must end by [`exit_at_once`].
#[cfg(test)]
pub(crate) fn fork() -> std::io::Result<i32> {
    // SAFETY: takes no pointer. The child of a threaded process may do little; that is on the
    // test that calls this.
    super::check(unsafe { libc::fork() })
}

/// Ends a forked child without running its parent's exit handlers.
#[cfg(test)]
pub(crate) fn exit_at_once(status: i32) -> ! {
    // SAFETY: takes no pointer and does not return.
    unsafe { libc::_exit(status) }
}

/// Waits for a child; returns its status (`waitpid(2)`).
#[cfg(test)]
pub(crate) fn wait_for(child: i32) -> std::io::Result<i32> {
    let mut status = 0;
    // SAFETY: the status lives across the call.
    super::check(unsafe { libc::waitpid(child, &raw mut status, 0) })?;
    Ok(status)
}
