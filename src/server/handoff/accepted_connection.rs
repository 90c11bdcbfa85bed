//! An connection: a connection on its way from the acceptor that accepted it to the worker it goes
//! to.

use std::os::fd::OwnedFd;
use std::time::Instant;

/// See the module's documentation. It owns its socket: lost on any path, it is closed.
#[derive(Debug)]
pub(in crate::server) struct AcceptedConnection {
    pub(in crate::server) socket: OwnedFd,
    /// When accept(2) returned it; `None` if nobody measures.
    pub(in crate::server) accepted_at: Option<Instant>,
    /// The number of the listener it came in by.
    pub(in crate::server) listener: u16,
}

// Two of them, with the stamps of their places, share a cache line.
const _: () = assert!(size_of::<AcceptedConnection>() <= 32);
