//! The connection between two servers of the same user: bytes with attached descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt,
};

/// Descriptors that one message can carry (`SCM_MAX_FD`, unix(7)).
pub(super) const RIGHTS_MAX: usize = 253;

const RIGHTS_SPACE: usize = cmsg_space!(ScmRights(RIGHTS_MAX));

/// Sends bytes, with at most [`RIGHTS_MAX`] descriptors beside the first byte. Returns the number
/// of bytes sent; all descriptors are sent then.
///
/// # Errors
///
/// Those of `sendmsg(2)`.
pub(super) fn send(
    stream: &impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); RIGHTS_SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many for one message"));
    }
    Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives bytes and the descriptors beside them, close-on-exec. Returns the number of bytes, 0 at
/// the end of the stream.
///
/// # Errors
///
/// Those of `recvmsg(2)`; `Other` if this process has no room for the descriptors.
pub(super) fn receive(
    stream: &impl AsFd,
    bytes: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); RIGHTS_SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("too few descriptors are free; raise the limit (ulimit -n)"));
    }
    Ok(received.bytes)
}

/// Whether at least three quarters of what the connection can hold are free. The kernel reports a
/// unix socket as writable only then.
///
/// # Errors
///
/// Those of `poll(2)`.
pub(super) fn has_room(stream: &impl AsFd) -> io::Result<bool> {
    Ok(poll_now(stream, PollFlags::OUT)?.contains(PollFlags::OUT))
}

/// Whether the peer has closed its end, or has ended.
pub(super) fn is_closed(stream: &impl AsFd) -> bool {
    poll_now(stream, PollFlags::empty()).is_ok_and(|flags| flags.contains(PollFlags::HUP))
}

fn poll_now(stream: &impl AsFd, interest: PollFlags) -> io::Result<PollFlags> {
    let mut polled = [PollFd::new(stream, interest)];
    poll(&mut polled, Some(&Timespec::default()))?;
    Ok(polled[0].revents())
}

/// Checks that the peer runs as the same user. Listening sockets are passed only then, in either
/// direction.
///
/// # Errors
///
/// `PermissionDenied` if the peer runs as another user (`SO_PEERCRED`, unix(7)).
pub(super) fn expect_same_user(stream: &impl AsFd) -> io::Result<()> {
    let peer = sockopt::socket_peercred(stream)?.uid;
    if peer == rustix::process::geteuid() {
        return Ok(());
    }
    let what = format!("the process at the other end runs as user {}", peer.as_raw());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
}
