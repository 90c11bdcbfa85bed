//! Searches in memory by the C library, whose `memchr(3)` compares many bytes at once. std has its
//! own for private use only.

/// The index of the first `byte`.
pub(crate) fn find_byte(byte: u8, bytes: &[u8]) -> Option<usize> {
    // SAFETY: the slice lives across the call, which reads no more than its length.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    (!found.is_null()).then(|| found.addr() - bytes.as_ptr().addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_is_found_and_none_in_an_empty_slice() {
        assert_eq!(find_byte(b'b', b"abcb"), Some(1));
        assert_eq!(find_byte(b'b', b"acd"), None);
        assert_eq!(find_byte(0, b""), None);
        assert_eq!(find_byte(255, &[0, 255]), Some(1));
    }
}
