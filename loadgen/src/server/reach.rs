//! Whether a server accepts connections at the target.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::options::Target;

/// Longest wait for one connect; a listening server on this machine answers at once.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Tries to connect once to every address of the target, and closes the connection.
pub(super) fn accepts(target: &Target) -> bool {
    match target {
        Target::Unix(path) => UnixStream::connect(path).is_ok(),
        Target::Tcp(text) => text
            .to_socket_addrs()
            .into_iter()
            .flatten()
            .any(|address| TcpStream::connect_timeout(&address, CONNECT_MAX).is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_tcp_target_accepts_while_a_server_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Tcp(listener.local_addr().unwrap().to_string());
        assert!(accepts(&target));
        drop(listener);
        assert!(!accepts(&target));
    }

    #[test]
    fn a_socket_file_without_a_listener_does_not_accept() {
        let folder = test_needs::folder();
        let path = folder.path().join("s");
        let target = Target::Unix(path.clone());
        let listener = UnixListener::bind(path).unwrap();
        assert!(accepts(&target));
        drop(listener);
        assert!(!accepts(&target));
    }
}
