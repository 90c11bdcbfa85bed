//! A reserve descriptor: it is closed when no other is free, so that one more connection can be
//! accepted.

use std::fs::File;
use std::io;

/// The reserve descriptor of one accepting thread.
#[derive(Debug)]
pub(crate) struct ReserveFd(Option<File>);

impl ReserveFd {
    /// Opens the reserve. It stays empty if no descriptor is free already.
    pub(crate) fn new() -> Self {
        let mut reserve = Self(None);
        reserve.refill();
        reserve
    }

    /// Opens the reserve again, if it is empty and a descriptor is free.
    pub(crate) fn refill(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }

    /// Closes the reserve if `error` is that of exhausted descriptors. Returns whether a descriptor
    /// is free now, so that the caller can accept again. Another thread may take it first.
    pub(crate) fn release_for(&mut self, error: &io::Error) -> bool {
        let is_exhausted = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
        is_exhausted && self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_released_once_and_only_for_exhausted_descriptors() {
        let mut reserve = ReserveFd::new();
        let error = io::Error::from_raw_os_error;
        assert!(!reserve.release_for(&error(libc::ENOMEM)));
        assert!(reserve.release_for(&error(libc::EMFILE)));
        assert!(!reserve.release_for(&error(libc::ENFILE)), "it is empty");
        reserve.refill();
        assert!(reserve.release_for(&error(libc::ENFILE)));
    }
}
