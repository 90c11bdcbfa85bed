//! Descriptor exhaustion: the process or the system has no descriptor or memory for another
//! connection.
//!
//! With `Overload::Shed`, a reserve descriptor lets the acceptor reset one client per attempt, so
//! that the client learns of it. Then the acceptor backs off, or waits until any connection of the
//! server closes; see `pause.rs`.

use std::io;

use super::listen_socket::ListenSocket;
use crate::accept::{ReserveFd, reset};
use crate::server::placement::Placer;

/// The reserve descriptor of one acceptor.
#[derive(Debug)]
pub(super) struct FdExhaustion {
    reserve: ReserveFd,
    /// The connection limit's count of releases when the acceptor began to wait.
    pub(super) releases_before: u32,
}

impl FdExhaustion {
    pub(super) fn new() -> Self {
        Self { reserve: ReserveFd::new(), releases_before: 0 }
    }

    /// A connection was accepted.
    pub(super) fn ended(&mut self) {
        self.reserve.refill();
    }

    /// If descriptors are exhausted, accepts and resets one connection with the reserve descriptor.
    /// Returns whether it did.
    pub(super) fn shed_one(
        &mut self,
        error: &io::Error,
        listen_socket: &ListenSocket,
        placer: &Placer,
    ) -> bool {
        let shed = self.reserve.release_for(error)
            && listen_socket.accept(placer, false).map(|(socket, _)| reset(socket)).is_ok();
        // If another thread took the descriptor, the reserve stays empty until an accept succeeds.
        self.reserve.refill();
        shed
    }
}
