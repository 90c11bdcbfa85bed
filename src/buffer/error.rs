//! What a buffer refuses.

use std::io;

/// What can go wrong in a [`Buffer`](crate::Buffer) by itself. Errors of the kernel are
/// `std::io::Error`s. The buffer is unchanged after each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BufferError {
    /// The length of the buffer would not fit `usize`.
    #[error(
        "a buffer of {length} bytes cannot take {more} more, because its length would overflow; \
         write some of it first"
    )]
    TooLong {
        /// The length of the buffer.
        length: usize,
        /// How many bytes were to be added.
        more: usize,
    },

    /// The allocator has no memory for so many bytes.
    #[error("no memory to reserve {bytes} bytes in a buffer; reserve fewer bytes")]
    OutOfMemory {
        /// How many bytes were to be reserved.
        bytes: usize,
    },

    /// More bytes were committed than reserved.
    #[error(
        "{committed} bytes were committed and {reserved} reserved; reserve all that is written"
    )]
    NotReserved {
        /// How many bytes were committed.
        committed: usize,
        /// How many bytes were reserved.
        reserved: usize,
    },

    /// The range of a file segment ends before it starts, or is beyond what a file can have.
    #[error("bytes {start} to {end} are no part of a file; give the start first, then the end")]
    NotARange {
        /// The first byte.
        start: u64,
        /// The byte after the last.
        end: u64,
    },

    /// A file ends before its segment does. It may have been truncated.
    #[error(
        "the file has no byte {at}, and its segment ends at byte {end}; \
         do not truncate a file that is in a buffer"
    )]
    FileTooShort {
        /// The first byte that the file does not have.
        at: u64,
        /// The byte after the last of the segment.
        end: u64,
    },
}

impl From<BufferError> for io::Error {
    fn from(error: BufferError) -> Self {
        let kind = match error {
            BufferError::OutOfMemory { .. } => io::ErrorKind::OutOfMemory,
            BufferError::FileTooShort { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
