//! A listen socket: accepts connections from it, and shuts it.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, SockFilter, SockRef, Socket};

use super::accept_error::AcceptError;
use crate::server::listener::Origin;
use crate::server::placement::{PlacementHint, Placer};
use crate::sys::socket;

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
    /// No new connection can be queued; those in the backlog can still be accepted.
    pub(super) is_shut: bool,
}

impl ListenSocket {
    /// Accepts one connection, with the placement hint that the policy needs.
    pub(super) fn accept(&self, placer: &Placer) -> Result<(OwnedFd, PlacementHint), AcceptError> {
        if placer.wants_address() {
            let (socket, address) =
                socket::accept_from(&self.socket).map_err(|error| self.accept_error(error))?;
            return Ok((socket, PlacementHint { address, core: None }));
        }
        let socket = socket::accept(&self.socket).map_err(|error| self.accept_error(error))?;
        let core = if placer.wants_core() { socket::incoming_core(&socket) } else { None };
        Ok((socket, PlacementHint { address: None, core }))
    }

    /// Rejects new connections. Those in the backlog can still be accepted, and handshakes in
    /// progress complete. Call it only if no other process accepts from the socket.
    pub(super) fn shut(&mut self) {
        debug_assert_eq!(self.origin, Origin::Own, "the filter would affect another process, too");
        if self.socket.domain().is_ok_and(|domain| domain == Domain::UNIX) {
            // Linux then refuses new connections, and accept(2) still empties the backlog.
            self.is_shut = self.socket.shutdown(Shutdown::Read).is_ok();
        } else {
            // Without the filter, a client that connects at the last moment may be reset. There is
            // no better way.
            let _ = self.socket.attach_filter(&drop_new_handshakes());
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

/// Resets a connection, so that its client learns at once that it is not served.
pub(super) fn reset(socket: OwnedFd) {
    // A unix socket has no reset; the end of stream must do.
    let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
}

/// A program for the kernel's socket filter: segments with SYN and without ACK are dropped, all
/// others pass. It runs with the TCP header at offset zero. Accepted sockets inherit it, and
/// never see such a segment.
fn drop_new_handshakes() -> [SockFilter; 5] {
    const FLAGS_OFFSET: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    const DROP: u32 = 0;
    const PASS: u32 = u32::MAX;
    let code = |code: u32| u16::try_from(code).expect("opcodes are small");
    let load = code(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS);
    let and = code(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K);
    let jump_equal = code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    let end = code(libc::BPF_RET | libc::BPF_K);
    [
        SockFilter::new(load, 0, 0, FLAGS_OFFSET),
        SockFilter::new(and, 0, 0, SYN | ACK),
        SockFilter::new(jump_equal, 0, 1, SYN),
        SockFilter::new(end, 0, 0, DROP),
        SockFilter::new(end, 0, 0, PASS),
    ]
}
