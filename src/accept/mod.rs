//! What all code that accepts connections needs: why accept(2) failed, how many connections to
//! accept in a turn, a descriptor in reserve, and what to do when listening fails.

mod accept_error;
mod batch;
mod listen_advice;
mod reserve_fd;

use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::SockRef;

pub(crate) use accept_error::AcceptError;
pub(crate) use batch::Batch;
pub(crate) use listen_advice::listen_advice;
pub(crate) use reserve_fd::ReserveFd;

/// The first pause after accept(2) failed. A client does not notice it, and a short failure costs
/// no more.
pub(crate) const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The longest pause, for a failure that another process must end.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Resets a connection, so that its client learns at once that it is not served.
pub(crate) fn reset(socket: OwnedFd) {
    // A unix socket has no reset; the end of stream must do.
    let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
}
