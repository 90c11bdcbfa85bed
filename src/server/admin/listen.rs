//! The admin's listening socket, and who may reach it.

use std::fs::{self, File, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

use super::super::listener::ListenAddress;
use super::AdminConfig;
use crate::error::{Error, Result};

/// Connections the kernel holds while as many as may be are open.
const BACKLOG: i32 = 16;
/// The permissions of a unix socket: whoever may connect may end the server.
const UNIX_MODE: u32 = 0o600;

/// A socket that listens; it takes its path along when it goes.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) socket: Socket,
    pub(super) address: ListenAddress,
}

/// Listens where the configuration says, if others do not reach it or may.
pub(super) fn bind(config: &AdminConfig) -> Result<Bound> {
    let bound = match &config.address {
        ListenAddress::Tcp(address) if !address.ip().is_loopback() && !config.allow_remote => {
            return Err(Error::AdminRemote { address: *address });
        }
        ListenAddress::Tcp(address) => bind_tcp(*address),
        ListenAddress::Unix(path) => bind_unix(path),
    };
    bound.map_err(|source| Error::AdminListen { address: config.address.to_string(), source })
}

fn bind_tcp(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let address = socket.local_addr()?.as_socket().expect("an internet socket has one");
    Ok(Bound { socket, address: ListenAddress::Tcp(address) })
}

fn bind_unix(path: &Path) -> io::Result<Bound> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Before it has a path: the path gets the socket's permissions, and there is no moment at
    // which others may connect.
    let file = File::from(OwnedFd::from(socket.try_clone()?));
    file.set_permissions(Permissions::from_mode(UNIX_MODE))?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(Bound { socket, address: ListenAddress::Unix(path.to_owned()) })
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let ListenAddress::Unix(path) = &self.address {
            // Somebody may have removed it already.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(address: &str, allow_remote: bool) -> AdminConfig {
        AdminConfig { address: address.parse().unwrap(), allow_remote }
    }

    #[test]
    fn an_address_that_others_reach_is_refused_unless_allowed() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9100"] {
            let said = bind(&config(address, false)).unwrap_err().to_string();
            assert!(said.contains(address) && said.contains("--admin-remote"), "{said}");
        }
        let bound = bind(&config("0.0.0.0:0", true)).unwrap();
        assert_ne!(bound.address, "0.0.0.0:0".parse().unwrap(), "the port that was given");
    }

    #[test]
    fn a_unix_socket_is_its_owners_and_leaves_with_the_admin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin");
        let config = config(&format!("unix:{}", path.display()), false);
        let bound = bind(&config).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, UNIX_MODE);
        let said = bind(&config).unwrap_err().to_string();
        assert!(said.contains("admin") && said.contains("choose another"), "{said}");
        drop(bound);
        assert!(!path.exists());
    }
}
