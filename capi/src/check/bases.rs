//! Which bases there are, and which thread runs the loop of each.

use std::collections::HashMap;
use std::thread::{self, ThreadId};

use super::with;

/// By the address of their handles.
#[derive(Default)]
pub(super) struct Bases {
    known: HashMap<usize, Known>,
    /// How many were made.
    made: u64,
}

struct Known {
    /// Distinguishes bases that had the same address.
    number: u64,
    /// Whether several threads may use it.
    is_shared: bool,
    /// The thread whose loop runs.
    loop_thread: Option<ThreadId>,
}

impl Bases {
    /// The number of the base with this address.
    pub(super) fn number(&self, address: usize) -> Option<u64> {
        self.known.get(&address).map(|known| known.number)
    }

    /// Whether the base is for one thread, and another one runs its loop.
    pub(super) fn has_loop_of_another_thread(&self, address: usize) -> bool {
        self.known.get(&address).is_some_and(|known| {
            let other = known.loop_thread.filter(|id| *id != thread::current().id());
            !known.is_shared && other.is_some()
        })
    }
}

/// A base was made.
pub(crate) fn on_base(address: usize, is_shared: bool) {
    with(|checks| {
        checks.bases.made += 1;
        let number = checks.bases.made;
        checks.bases.known.insert(address, Known { number, is_shared, loop_thread: None });
    });
}

/// A base is freed.
pub(crate) fn on_base_end(address: usize) {
    with(|checks| checks.bases.known.remove(&address));
}

/// The loop of a base begins in this thread.
pub(crate) fn on_loop(address: usize) {
    with(|checks| {
        if let Some(known) = checks.bases.known.get_mut(&address) {
            // A second loop is refused; the first one counts.
            known.loop_thread.get_or_insert_with(|| thread::current().id());
        }
    });
}

/// The loop of a base has ended.
pub(crate) fn on_loop_end(address: usize) {
    with(|checks| {
        if let Some(known) = checks.bases.known.get_mut(&address) {
            known.loop_thread = None;
        }
    });
}
