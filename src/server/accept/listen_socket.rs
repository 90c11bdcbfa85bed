//! A listen socket: accepts connections from it, and shuts it.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, SockFilter, SockRef, Socket};

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

/// Why accept(2) returned no connection.
#[derive(Debug)]
pub(super) enum AcceptError {
    /// The backlog is empty.
    NoneWaiting,
    /// A connection ended before it was accepted. The next one may be fine.
    Aborted,
    /// The kernel has no descriptor or memory for another, or reports an unknown error.
    Exhausted(io::Error),
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

    /// accept(2), "Error handling": an error of one connection is reported as an error of the call.
    /// Any other error is handled like exhaustion, because that never spins.
    fn accept_error(&self, error: io::Error) -> AcceptError {
        match error.raw_os_error() {
            Some(libc::EAGAIN) => AcceptError::NoneWaiting,
            Some(libc::EINVAL) if self.is_shut => AcceptError::NoneWaiting,
            Some(code) if CONCERNS_ONE_CONNECTION.contains(&code) => AcceptError::Aborted,
            _ => AcceptError::Exhausted(error),
        }
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

/// Errors of accept(2) that end one connection before it was accepted.
const CONCERNS_ONE_CONNECTION: [i32; 11] = [
    libc::ECONNABORTED,
    libc::EINTR,
    libc::EPERM,
    libc::EPROTO,
    libc::ENOPROTOOPT,
    libc::EOPNOTSUPP,
    libc::ENETDOWN,
    libc::ENETUNREACH,
    libc::EHOSTDOWN,
    libc::EHOSTUNREACH,
    libc::ENONET,
];

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_one_connection_is_no_exhaustion_and_an_unknown_error_is() {
        let socket = Socket::new(Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let (origin, is_local, is_shut) = (Origin::Own, false, false);
        let listen_socket = ListenSocket { socket, listener: 0, origin, is_local, is_shut };
        let refused = |code| listen_socket.accept_error(io::Error::from_raw_os_error(code));
        assert!(matches!(refused(libc::EAGAIN), AcceptError::NoneWaiting));
        for code in [libc::ECONNABORTED, libc::EPROTO, libc::EPERM, libc::EINTR, libc::ENETDOWN] {
            assert!(matches!(refused(code), AcceptError::Aborted));
        }
        for code in
            [libc::EINVAL, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSYS]
        {
            assert!(matches!(refused(code), AcceptError::Exhausted(_)));
        }
    }
}
