//! Addresses to listen on, in text form.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address to listen on, written `127.0.0.1:5555`, `[::1]:5555`, `localhost:5555` or
/// `unix:/run/evshard.sock`. Parsing resolves host names, and takes the first address.
///
/// ```
/// use evshard::server::ListenAddress;
///
/// let address: ListenAddress = "unix:/run/evshard.sock".parse()?;
/// assert_eq!(address, ListenAddress::Unix("/run/evshard.sock".into()));
/// let error = "127.0.0.1".parse::<ListenAddress>().unwrap_err();
/// assert!(error.to_string().contains("a port is missing"));
/// # Ok::<(), evshard::server::listener::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenAddress {
    /// TCP over IPv4 or IPv6. Port 0 takes a free port. An IPv6 address is IPv6 only, whatever
    /// `net.ipv6.bindv6only` is: `[::]:80` and `0.0.0.0:80` can be opened together, and an IPv4
    /// peer never looks like an IPv6 one.
    Tcp(SocketAddr),
    /// A unix stream socket.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is wrong with the text of a [`ListenAddress`], and what to write instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text has only a host.
    #[error("a port is missing, write ADDR:PORT such as 127.0.0.1:5555, or unix:PATH")]
    PortMissing,
    /// The port is not a number of a port.
    #[error("\"{0}\" is no port, write a number from 0 to 65535")]
    Port(String),
    /// The host name cannot be resolved.
    #[error("the host \"{host}\" is not known ({source})")]
    Host {
        /// The name.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// The host name has no address.
    #[error("the host has no address")]
    NoAddress,
    /// `unix:` without a path.
    #[error("a path is missing, write unix:PATH such as unix:/run/evshard.sock")]
    PathMissing,
    /// `unix:@name`: every process on the machine could connect.
    #[error("abstract unix sockets have no permissions, write a path such as unix:/run/{0}.sock")]
    Abstract(String),
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.strip_prefix("unix:") {
            Some("") => Err(AddressError::PathMissing),
            Some(path) => match path.strip_prefix('@') {
                Some(name) => Err(AddressError::Abstract(name.to_owned())),
                None => Ok(Self::Unix(path.into())),
            },
            None => tcp(text).map(Self::Tcp),
        }
    }
}

fn tcp(text: &str) -> Result<SocketAddr, AddressError> {
    // The colons of an IPv6 address must not be taken for the one before a port.
    if text.ends_with(']') || text.parse::<IpAddr>().is_ok() {
        return Err(AddressError::PortMissing);
    }
    let mut found = text.to_socket_addrs().map_err(|source| match text.rsplit_once(':') {
        None => AddressError::PortMissing,
        Some((_, port)) if port.parse::<u16>().is_err() => AddressError::Port(port.to_owned()),
        Some((host, _)) => AddressError::Host { host: host.to_owned(), source },
    })?;
    found.next().ok_or(AddressError::NoAddress)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        text.parse::<ListenAddress>().unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_what_is_shown() {
        for text in ["127.0.0.1:5555", "[::1]:0", "[fe80::1%2]:80", "unix:/run/a b.sock", "unix:x"]
        {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_name_is_looked_up() {
        let ListenAddress::Tcp(address) = "localhost:5555".parse().unwrap() else {
            panic!("a host's name is no path")
        };
        assert!(address.ip().is_loopback() && address.port() == 5555, "{address}");
    }

    #[test]
    fn a_wrong_address_says_what_to_write_instead() {
        for text in ["127.0.0.1", "localhost", "::1", "[::1]", ""] {
            assert!(complaint(text).contains("ADDR:PORT"), "{text}: {}", complaint(text));
        }
        for text in ["127.0.0.1:http", "[::1]:70000", "127.0.0.1:", "127.0.0.1:-1"] {
            assert!(complaint(text).contains("0 to 65535"), "{text}: {}", complaint(text));
        }
        assert!(complaint("no.such.host.invalid:80").contains("not known"));
        assert!(complaint("unix:").contains("a path is missing"));
        assert!(complaint("unix:@web").contains("unix:/run/web.sock"));
    }
}
