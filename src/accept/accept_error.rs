//! Why accept(2) returned no connection, and what the caller does about it.

use std::io;

/// Why accept(2) returned no connection.
#[derive(Debug)]
pub(crate) enum AcceptError {
    /// The backlog is empty.
    NoneWaiting,
    /// A connection ended before it was accepted. The next one may be fine. If it repeats, the
    /// caller pauses: a firewall or a sandbox may refuse every call with the same error.
    Aborted(io::Error),
    /// The kernel has no descriptor or memory for another, or reports an unknown error.
    Exhausted(io::Error),
}

impl From<io::Error> for AcceptError {
    /// accept(2), "Error handling": an error of one connection is reported as an error of the call.
    /// Any other error is handled like exhaustion, because that never spins.
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EAGAIN) => Self::NoneWaiting,
            Some(code) if CONCERNS_ONE_CONNECTION.contains(&code) => Self::Aborted(error),
            _ => Self::Exhausted(error),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_one_connection_is_no_exhaustion_and_an_unknown_error_is() {
        let error = |code| AcceptError::from(io::Error::from_raw_os_error(code));
        assert!(matches!(error(libc::EAGAIN), AcceptError::NoneWaiting));
        for code in [libc::ECONNABORTED, libc::EPROTO, libc::EPERM, libc::EINTR, libc::ENETDOWN] {
            assert!(matches!(error(code), AcceptError::Aborted(_)));
        }
        for code in
            [libc::EINVAL, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSYS]
        {
            assert!(matches!(error(code), AcceptError::Exhausted(_)));
        }
    }
}
