//! Socket calls that std lacks: the core of a connection's packets, and sockets that the process
//! inherited.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::sockopt;

use super::check;

/// The core that last received a packet of the connection (`SO_INCOMING_CPU`); `None` if it is
/// unknown, as for unix sockets.
pub(crate) fn incoming_core(socket: &impl AsFd) -> Option<usize> {
    // The kernel's "none" is -1.
    let core = sockopt::socket_incoming_cpu(socket).ok()?;
    usize::try_from(i32::try_from(core).ok()?).ok()
}

/// Makes the kernel refuse new connections to a listening TCP socket, as if none listened there.
/// Handshakes in progress complete, and connections in the backlog can be accepted.
///
/// It binds the socket to an interface that does not exist (`SO_BINDTOIFINDEX`, socket(7)), where
/// no segment can come from. An ordinary user may do this once (Linux 5.7).
///
/// # Errors
///
/// Those of `setsockopt(2)`.
pub(crate) fn refuse_connections(listener: &impl AsFd) -> io::Result<()> {
    let interface: libc::c_int = libc::c_int::MAX;
    // SAFETY: the option is an int, which lives across the call.
    check(unsafe {
        libc::setsockopt(
            listener.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTOIFINDEX,
            (&raw const interface).cast(),
            size_of_val(&interface) as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// The first descriptor that a service manager passes (`SD_LISTEN_FDS_START`, sd_listen_fds(3)).
const INHERITED_FIRST: RawFd = 3;

/// Takes the first `count` inherited descriptors after standard error; `None` if they were taken
/// before.
///
/// The caller knows from the environment that a service manager passed them to this process, so
/// that no other code has opened them.
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
    // SAFETY: it is open, this process inherited it to own it, and the flag prevents that it is
    // taken a second time.
    let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
    Ok(Some(numbers.map(own).collect()))
}
