//! The socket calls that std cannot make: `accept4(2)` with its flags, and where a connection
//! came in.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::net::{SocketFlags, acceptfrom_with, sockopt};

use super::check;

/// Accepts one connection, non-blocking and close-on-exec from birth; the peer is not asked for.
///
/// # Errors
///
/// `WouldBlock` when no connection waits; everything else `accept4(2)` lists.
pub(crate) fn accept(listener: &impl AsFd) -> io::Result<OwnedFd> {
    let (address, length) = (std::ptr::null_mut(), std::ptr::null_mut());
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null address pointers are allowed and mean that the peer's address is not wanted.
    let fd = check(unsafe { libc::accept4(listener.as_fd().as_raw_fd(), address, length, flags) })?;
    // SAFETY: the kernel just returned this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// As [`accept`], with the peer's address; `None` for a peer that has none, on a unix socket.
///
/// # Errors
///
/// As [`accept`].
pub(crate) fn accept_from(listener: &impl AsFd) -> io::Result<(OwnedFd, Option<IpAddr>)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (socket, peer) = acceptfrom_with(listener, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    Ok((socket, peer.map(|peer| peer.ip())))
}

/// The core that last received a packet of the connection (`SO_INCOMING_CPU`); `None` if the
/// kernel does not know, as of unix sockets.
pub(crate) fn incoming_core(socket: &impl AsFd) -> Option<usize> {
    // The kernel's "none" is -1.
    let core = sockopt::socket_incoming_cpu(socket).ok()?;
    usize::try_from(i32::try_from(core).ok()?).ok()
}
