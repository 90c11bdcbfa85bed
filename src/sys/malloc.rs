//! The C library's allocator, which the standard library uses. With a C library other than glibc,
//! or if the program has another allocator, these calls have no effect.

/// Returns free memory of the allocator to the system (`malloc_trim(3)`).
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a number and no pointer, and any thread may call it.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Makes all threads share one heap from now on (`mallopt(3)`, `M_ARENA_MAX`). Otherwise, each
/// thread reserves 64 MiB of the address space for a heap of its own.
pub(crate) fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes numbers and no pointer, and any thread may call it.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
