//! The slots that the connections of a shard hold of the limit per source. Without a limit they
//! need no memory.

use std::net::IpAddr;
use std::sync::Arc;

use crate::server::source_limit::{SourceLimit, SourceSlot};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct SourceSlots {
    limit: Option<Arc<SourceLimit>>,
    /// By the key of the connection.
    slots: Vec<Option<Box<SourceSlot>>>,
}

impl SourceSlots {
    pub(super) fn new(limit: Option<Arc<SourceLimit>>) -> Self {
        Self { limit, slots: Vec::new() }
    }

    /// Keeps the slot of a connection until it closes.
    pub(super) fn hold(&mut self, key: usize, slot: Box<SourceSlot>) {
        if self.slots.len() <= key {
            self.slots.resize_with(key + 1, || None);
        }
        self.slots[key] = Some(slot);
    }

    /// Counts a connection for its source, unless it was counted when it was accepted. `address` is
    /// `None` for a peer without one. Returns false if the source has as many as it may.
    pub(super) fn acquire(&mut self, key: usize, address: impl FnOnce() -> Option<IpAddr>) -> bool {
        let Some(limit) = &self.limit else { return true };
        if self.slots.get(key).is_some_and(Option::is_some) {
            return true;
        }
        let Some(address) = address() else { return true };
        let slot = limit.try_acquire(address);
        slot.map(|slot| self.hold(key, slot)).is_some()
    }

    /// Called after the socket of a connection is closed.
    pub(super) fn release(&mut self, key: usize) {
        if let Some(slot) = self.slots.get_mut(key) {
            *slot = None;
        }
    }
}
