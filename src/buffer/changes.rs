//! How many bytes were added and removed: what the owner of a buffer needs to know.

/// The bytes that were added to and removed from a [`Buffer`](crate::Buffer) since its owner asked
/// last (libevent: `struct evbuffer_cb_info`).
///
/// The length at that time was `length + removed - added`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Bytes added, at either end.
    pub added: u64,
    /// Bytes removed.
    pub removed: u64,
}

impl Changes {
    /// Whether nothing was added and nothing removed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added == 0 && self.removed == 0
    }
}
