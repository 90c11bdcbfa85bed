//! A listen socket: accepts connections from it, and ends it.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use socket2::{Domain, Socket};

use crate::accept::AcceptError;
use crate::server::listener::Origin;
use crate::server::placement::{PlacementHint, Placer};
use crate::sys::{accept, socket};

/// One listening socket of an acceptor.
#[derive(Debug)]
pub(in crate::server) struct ListenSocket {
    pub(super) socket: Socket,
    /// The index of its listener.
    pub(super) listener: u16,
    pub(super) origin: Origin,
    /// Whether its listener has a socket for every acceptor. Its connections then belong to the
    /// local shard.
    pub(super) is_local: bool,
    /// Whether it is a unix socket that refuses connections. It stays readable for ever.
    pub(super) is_shut: bool,
}

impl ListenSocket {
    /// Accepts one connection, with the placement hint that the policy needs.
    pub(super) fn accept(&self, placer: &Placer) -> Result<(OwnedFd, PlacementHint), AcceptError> {
        if placer.wants_address() {
            let (socket, address) =
                accept::accept_from(&self.socket).map_err(|error| self.accept_error(error))?;
            let address = address.map(|address| address.ip());
            return Ok((socket, PlacementHint { address, core: None }));
        }
        let socket = accept::accept(&self.socket).map_err(|error| self.accept_error(error))?;
        let core = if placer.wants_core() { socket::incoming_core(&socket) } else { None };
        Ok((socket, PlacementHint { address: None, core }))
    }

    /// Refuses new connections. Those in the backlog can still be accepted, and handshakes in
    /// progress complete. Call it only if no other process accepts from the socket.
    pub(super) fn refuse_connections(&mut self) {
        debug_assert_eq!(self.origin, Origin::Own, "it would affect another process, too");
        let refused = if self.socket.domain().is_ok_and(|domain| domain == Domain::UNIX) {
            // Linux then refuses new connections, and accept(2) still empties the backlog.
            let shut = self.socket.shutdown(Shutdown::Read);
            self.is_shut = shut.is_ok();
            shut
        } else {
            socket::refuse_connections(&self.socket)
        };
        if let Err(error) = refused {
            log::warn!(
                target: "accept", error:%;
                "clients that connect just before the server ends may be reset"
            );
        }
    }

    fn accept_error(&self, error: io::Error) -> AcceptError {
        // A unix socket that is shut reports this once its backlog is empty.
        if self.is_shut && error.raw_os_error() == Some(libc::EINVAL) {
            return AcceptError::NoneWaiting;
        }
        error.into()
    }
}

impl AsRawFd for ListenSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
