//! The address of the server: resolves the target, once for all threads.

use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::SocketAddrUnix;

use crate::error::Error;
use crate::options::Target;

/// Where the server listens.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(SocketAddrUnix),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(address) => {
                let path = address.path().map(|path| path.to_string_lossy().into_owned());
                write!(formatter, "unix:{}", path.unwrap_or_default())
            }
        }
    }
}

/// Resolves the target.
///
/// Of a name's several addresses (such as IPv6 and IPv4), a run uses one: the first that accepts a
/// connection. The trial connection is closed again. A single address is not tried.
pub(crate) fn resolve(target: &Target, timeout: Duration) -> Result<Address, Error> {
    match target {
        Target::Tcp(text) => resolve_name(text, timeout).map(Address::Tcp),
        Target::Unix(path) => unix_address(path),
    }
}

fn unix_address(path: &PathBuf) -> Result<Address, Error> {
    SocketAddrUnix::new(path).map(Address::Unix).map_err(|_| {
        Error::Usage(format!("target unix:{}: the path is too long for a socket", path.display()))
    })
}

fn resolve_name(text: &str, timeout: Duration) -> Result<SocketAddr, Error> {
    let failed = |source| Error::Resolve { target: text.to_owned(), source };
    let addresses: Vec<SocketAddr> = text.to_socket_addrs().map_err(failed)?.collect();
    let [first, others @ ..] = addresses.as_slice() else {
        return Err(Error::NoAddress { target: text.to_owned() });
    };
    if others.is_empty() {
        return Ok(*first);
    }
    let accepts = |address: &&SocketAddr| TcpStream::connect_timeout(address, timeout).is_ok();
    // If no address accepts, the run's own connect returns the error.
    Ok(*addresses.iter().find(accepts).unwrap_or(first))
}
