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
    /// Whether its connections begin with TLS.
    pub(super) tls: bool,
    pub(super) origin: Origin,
    /// Whether its listener has a socket for every acceptor. Its connections then belong to the
    /// local shard.
    pub(super) is_local: bool,
    /// Whether it is a unix socket that refuses connections. It stays readable for ever.
    pub(super) is_shut: bool,
}

impl ListenSocket {
    /// Accepts one connection, with the placement hint that the policy needs. With `wants_address`
    /// the hint always has the address of the peer, if the peer has one.
    pub(super) fn accept(
        &self,
        placer: &Placer,
        wants_address: bool,
    ) -> Result<(OwnedFd, PlacementHint), AcceptError> {
        let accepted = if wants_address || placer.wants_address() {
            accept::accept_from(&self.socket)
        } else {
            accept::accept(&self.socket).map(|socket| (socket, None))
        };
        let (socket, address) = accepted.map_err(|error| self.accept_error(error))?;
        let address = address.map(|address| address.ip());
        let core = if placer.wants_core() { socket::incoming_core(&socket) } else { None };
        Ok((socket, PlacementHint { address, core }))
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
