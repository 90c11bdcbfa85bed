//! What std cannot do with sockets: `accept4(2)` with its flags, where a connection came in, and
//! owning those that the process was started with.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

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

/// The first descriptor that a service manager passes (`SD_LISTEN_FDS_START`, sd_listen_fds(3)).
const INHERITED_FIRST: RawFd = 3;

/// Takes the first `count` descriptors that this process was started with, those of standard
/// input and output apart; `None` if they were taken before.
///
/// Whoever asks knows from the environment that they were passed to this process, so that nothing
/// else in it has opened them.
///
/// # Errors
///
/// `EBADF` if one of them is not open; none is taken then.
pub(crate) fn take_inherited(count: usize) -> io::Result<Option<Vec<OwnedFd>>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let count = RawFd::try_from(count).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    let numbers = INHERITED_FIRST..INHERITED_FIRST.saturating_add(count);
    if !numbers.clone().all(super::fd::is_open) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(None);
    }
    // SAFETY: it is open, it was passed for this process to own, and the flag lets nobody take it
    // a second time.
    let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
    Ok(Some(numbers.map(own).collect()))
}
