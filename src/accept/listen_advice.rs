//! What to do when listening on an address fails.

use std::io;

use crate::error::exhaustion_advice;

/// What to do about a failed bind or listen, as the end of the sentence.
pub(crate) fn listen_advice(address: &str, source: &io::Error) -> &'static str {
    let is_path = address.starts_with("unix:");
    match source.kind() {
        io::ErrorKind::AddrInUse if is_path => {
            "; stop the program that listens there, or choose another path"
        }
        io::ErrorKind::AlreadyExists if is_path => {
            "; what stands there is no socket: remove it, or choose another path"
        }
        io::ErrorKind::NotFound if is_path => "; create its folder first",
        io::ErrorKind::PermissionDenied if is_path => {
            "; choose a folder in which this user may create files"
        }
        io::ErrorKind::InvalidInput if is_path => "; a socket's path has at most 107 bytes",
        io::ErrorKind::AddrInUse => {
            "; stop the program that uses it, or choose another port (0 takes a free one)"
        }
        io::ErrorKind::PermissionDenied => {
            "; choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; no interface of this machine has the address, 0.0.0.0 takes them all"
        }
        _ => exhaustion_advice(source),
    }
}
