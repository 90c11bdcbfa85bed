//! Events: their slots, the lists through the slots, and the maps and queues that hold them.

pub(super) mod active;
pub(super) mod fd_map;
pub(super) mod list;
pub(super) mod signal;
pub(super) mod slot;
