//! An accepted connection on its way from the acceptor to a worker.

use std::os::fd::OwnedFd;
use std::time::Instant;

use crate::server::source_limit::SourceSlot;

/// Owns its socket, so that the socket is closed on any path.
#[derive(Debug)]
pub(in crate::server) struct AcceptedConnection {
    pub(in crate::server) socket: OwnedFd,
    /// When accept(2) returned it; `None` without timings.
    pub(in crate::server) accepted_at: Option<Instant>,
    /// The index of the listener that it came from.
    pub(in crate::server) listener: u16,
    /// Whether it begins with TLS.
    pub(in crate::server) tls: bool,
    /// Its slot of the limit per source. It follows the socket, which is dropped first.
    pub(in crate::server) source: Option<Box<SourceSlot>>,
}

// Two of them, with the stamps of their slots, fit a cache line.
const _: () = assert!(size_of::<AcceptedConnection>() <= 32);
