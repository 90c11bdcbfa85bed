//! From a target's text to the one address all connections go to.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::error::Error;
use crate::options::Target;

/// Resolves the target. A name with several addresses (such as IPv6 and IPv4) means the first
/// that accepts a connection, so that a run never mixes addresses; trying costs the server one
/// connection that is closed again. A single address is not tried.
pub(crate) fn resolve(target: &Target, timeout: Duration) -> Result<SocketAddr, Error> {
    let found = target.as_str().to_socket_addrs();
    let addresses: Vec<SocketAddr> =
        found.map_err(|source| Error::Resolve { target: target.to_string(), source })?.collect();
    let [first, others @ ..] = addresses.as_slice() else {
        return Err(Error::NoAddress { target: target.to_string() });
    };
    if others.is_empty() {
        return Ok(*first);
    }
    let accepts = |address: &&SocketAddr| TcpStream::connect_timeout(address, timeout).is_ok();
    // When none accepts, the run's own connect says why.
    Ok(*addresses.iter().find(accepts).unwrap_or(first))
}
