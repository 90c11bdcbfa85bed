//! The id of a connection.

use std::fmt;

use crate::event::EventId;

/// The id of a connection of one shard; `Copy`, 16 bytes.
///
/// Once the connection is closed, its id is *stale* and stays so. It never names another
/// connection.
///
/// The order of ids is that in which the shard holds its connections. To send to thousands of them
/// costs less in this order than in that of a hash table, because memory is read in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    pub(super) shard: u32,
    pub(super) key: u32,
    /// An event of the connection, whose id no other event ever has.
    pub(super) readable: EventId,
}

impl ConnectionId {
    /// The index of its shard.
    #[must_use]
    pub fn shard(self) -> usize {
        self.shard as usize
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({}.{}.{})", self.shard, self.key, self.readable)
    }
}
