//! Memory for chunks, and one spare of the two usual sizes for each thread.
//!
//! A buffer that becomes empty owns no memory. So that the next message costs no allocation, each
//! thread keeps the memory of one small and one large chunk that became empty. A spare may hold old
//! bytes, of any buffer of the thread. They must be overwritten before they are shown.

use std::cell::Cell;
use std::thread::LocalKey;

use super::error::BufferError;

/// Size of the smallest chunk: a usual message, with room for a second one.
pub(super) const SMALL: usize = 1 << 10;

/// Size of the largest chunk that a buffer makes on its own; also the most that one read takes into
/// a new chunk. A larger one saves no system calls that count.
pub(super) const LARGE: usize = 1 << 16;

type Spare = LocalKey<Cell<Option<Box<[u8]>>>>;

thread_local! {
    static SMALL_SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static LARGE_SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// The spare of a size; none for all other sizes.
fn spare_of(size: usize) -> Option<&'static Spare> {
    match size {
        SMALL => Some(&SMALL_SPARE),
        LARGE => Some(&LARGE_SPARE),
        _ => None,
    }
}

/// The thread's spare of this size. There is none while the thread ends.
fn take_spare(size: usize) -> Option<Box<[u8]>> {
    spare_of(size)?.try_with(Cell::take).ok()?
}

/// Memory of `size` bytes, with any content.
pub(super) fn take(size: usize) -> Box<[u8]> {
    take_spare(size).unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

/// As [`take`], for a size that comes from outside.
///
/// # Errors
///
/// If the allocator has no memory for it.
pub(super) fn try_take(size: usize) -> Result<Box<[u8]>, BufferError> {
    if let Some(spare) = take_spare(size) {
        return Ok(spare);
    }
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(size);
    reserved.map_err(|_| BufferError::OutOfMemory { bytes: size })?;
    bytes.resize(size, 0);
    Ok(bytes.into_boxed_slice())
}

/// Keeps memory that is no longer used as the thread's spare, or frees it.
pub(super) fn give_back(bytes: Box<[u8]>) {
    if let Some(spare) = spare_of(bytes.len()) {
        // A thread that ends frees it.
        let _ = spare.try_with(|spare| spare.set(Some(bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_given_back_is_used_again() {
        for size in [SMALL, LARGE] {
            let bytes = take(size);
            let address = bytes.as_ptr();
            give_back(bytes);
            let again = try_take(size).unwrap();
            assert_eq!(again.as_ptr(), address);
        }
    }

    #[test]
    fn other_sizes_are_freed() {
        let _ = (SMALL_SPARE.take(), LARGE_SPARE.take());
        give_back(vec![0; SMALL + 1].into_boxed_slice());
        assert!(SMALL_SPARE.take().is_none() && LARGE_SPARE.take().is_none());
    }

    #[test]
    fn a_size_that_no_allocator_has_is_an_error() {
        let bytes = isize::MAX as usize;
        assert_eq!(try_take(bytes).unwrap_err(), BufferError::OutOfMemory { bytes });
    }
}
