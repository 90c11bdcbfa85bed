//! `accept4(2)` with its flags, and the option that delays it, which std lacks.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use socket2::{SockAddr, SockAddrStorage};

use super::check;

/// An accepted connection never blocks, and is not inherited by programs that are executed.
const FLAGS: libc::c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

/// Accepts one connection, non-blocking and close-on-exec, without the peer's address.
///
/// # Errors
///
/// `WouldBlock` if no connection waits, and all other errors of `accept4(2)`.
#[cfg(feature = "server")]
pub(crate) fn accept(listener: &impl AsFd) -> io::Result<OwnedFd> {
    let (address, length) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: null address pointers are allowed: the call then returns no address.
    let fd = check(unsafe { libc::accept4(listener.as_fd().as_raw_fd(), address, length, FLAGS) })?;
    // SAFETY: the kernel just returned this descriptor; no other value owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Accepts as `accept`, with the peer's address; `None` for a peer on a unix socket.
///
/// # Errors
///
/// As `accept`.
pub(crate) fn accept_from(listener: &impl AsFd) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let listener = listener.as_fd().as_raw_fd();
    let accept = |address: *mut SockAddrStorage, length| {
        // SAFETY: the storage and its length live across the call, which fills both.
        check(unsafe { libc::accept4(listener, address.cast(), length, FLAGS) })
    };
    // SAFETY: where the call succeeds, the kernel has filled the storage and set its length.
    let (fd, peer) = unsafe { SockAddr::try_init(accept) }?;
    // SAFETY: the kernel just returned this descriptor; no other value owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok((socket, peer.as_socket()))
}

/// Has the kernel hold connections back until the client has sent something, or for some time
/// (`TCP_DEFER_ACCEPT`, tcp(7)).
///
/// # Errors
///
/// Those of `setsockopt(2)`: the socket is no TCP socket.
pub(crate) fn defer_accept(listener: &impl AsFd, at_most: Duration) -> io::Result<()> {
    let seconds = libc::c_int::try_from(at_most.as_secs()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the option is an int, which lives across the call.
    check(unsafe {
        libc::setsockopt(
            listener.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of_val(&seconds) as libc::socklen_t,
        )
    })?;
    Ok(())
}
