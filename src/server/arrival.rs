//! An arrival: a connection on its way from the gate that accepted it to the worker it goes to.

use std::os::fd::OwnedFd;
use std::time::Instant;

/// See the module's documentation. It owns its socket: lost on any path, it is closed.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) socket: OwnedFd,
    /// When accept(2) returned it; `None` if nobody measures.
    pub(super) accepted_at: Option<Instant>,
    /// The number of the listener it came in by.
    pub(super) listener: u16,
}

// Two of them, with the stamps of their places, share a cache line.
const _: () = assert!(size_of::<Arrival>() <= 32);
